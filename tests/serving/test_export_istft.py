"""An exported model with the istft decoder speaks the same, whole and as a stream."""

import numpy as np
import pytest
import tensorflow as tf

from myxtts.config import SynthesisConfig
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.serving.export import export_saved_model, foreign_operations
from myxtts.serving.signatures import ServingModule
from tests.conftest import hum
from tests.istft import as_preset
from tests.serving.test_export import compare, in_c

TEXT = "This is number 3, and this clip is number 1."


@pytest.fixture(scope="module", params=[pytest.param("none", marks=pytest.mark.slow), "harmonic"])
def source(request):
    return request.param


@pytest.fixture(scope="module")
def seam(source):
    """How far a stream may be from the whole: a rounding of the pitch is heard in harmonics."""
    return {"none": 1e-5, "harmonic": 2e-2}[source]


@pytest.fixture(scope="module")
def model(source, trained, micro_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("istft")
    return XTTS.from_preset(as_preset(trained, micro_config, folder, source))


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("my_xtts") / "1"
    export_saved_model(model, folder, "istft")
    return folder


def test_every_operation_is_of_the_core(exported):
    assert foreign_operations(exported) == set()


@pytest.mark.slow
def test_the_c_library_says_what_the_model_says(model, exported, seam, tmp_path):
    clip = hum(2.0, 130, np.random.default_rng(0))
    settings = SynthesisConfig(temperature=0.0, retries=0, vocoder="istft", stream_codes=7)
    here = Synthesizer(model, settings)
    voice = here.condition([clip])
    ids = np.array([model.tokenizer.encode(TEXT, "en")], "int32")
    inputs = {
        "latents": np.asarray(voice.latents, "float32"),
        "speaker_embedding": np.asarray(voice.speaker_embedding, "float32"),
        "ids": ids,
        "id_lengths": np.array([ids.shape[1]], "int32"),
        "temperature": np.zeros(1, "float32"),
        "top_k": np.zeros(1, "int32"),
        "top_p": np.ones(1, "float32"),
        "repetition_penalty": np.ones(1, "float32"),
        "seed": np.zeros(1, "int64"),
    }
    found = in_c(exported, "synthesize_ids", inputs, tmp_path)
    module = ServingModule(model, "istft")
    compare(found, module.synthesize_ids(**{k: tf.constant(v) for k, v in inputs.items()}))
    assert found["samples"][0] > 0
    spoken = here.speak(TEXT, voice).waveform
    streamed = np.concatenate(list(here.stream(TEXT, voice)))
    np.testing.assert_allclose(streamed, spoken, atol=seam)


def test_a_stream_over_requests_is_the_whole(model, exported, seam):
    served = tf.saved_model.load(str(exported)).signatures
    clip = tf.constant(hum(2.0, 130, np.random.default_rng(0))[None])
    voice = served["condition"](audio=clip, lengths=tf.constant([44_100]))
    options = {
        "temperature": tf.zeros(1),
        "top_k": tf.zeros(1, "int32"),
        "top_p": tf.ones(1),
        "repetition_penalty": tf.ones(1),
        "seed": tf.zeros(1, "int64"),
    }
    text = {"text": tf.constant([TEXT]), "language": tf.constant(["en"])}
    whole = served["serving_default"](**text, **voice, **options)
    state, pieces = served["stream_start"](**text), []
    for _ in range(30):
        step = served["stream_next"](**state, **voice, **options, count=tf.constant([9]))
        pieces.append(step["waveform"][0, : int(step["samples"][0])].numpy())
        state |= {name: step[name] for name in ("codes", "emitted")}
        if step["finished"][0]:
            break
    samples = int(whole["samples"][0])
    joined = np.concatenate(pieces)
    assert len(joined) == samples > 0
    np.testing.assert_allclose(joined, whole["waveform"][0, :samples], atol=seam)
