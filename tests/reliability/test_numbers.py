"""NaN, infinity, 1e30 and wrong sizes are refused by name before a model; output is sound."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from safetensors.numpy import save_file

from myxtts.config import SynthesisConfig, XTTSConfig
from myxtts.errors import AudioError, CheckpointError, NotFiniteError
from myxtts.generation.references import read_reference
from myxtts.generation.vocoding import bounded
from myxtts.inference.voice import Voice
from myxtts.serving.graph.refusal import (
    of_a_recording,
    of_a_voice,
    of_as_many_rows,
    sound_rules,
    speech,
)
from myxtts.serving.graph.refusal import required as require
from myxtts.serving.graph.wav import decoded
from myxtts.serving.signatures import EmbeddingModule, concrete
from tests.conftest import MICRO, hum

CONFIG = XTTSConfig().merged({"model": MICRO["model"]})
SIZES = CONFIG.model
MODEL = SimpleNamespace(fingerprint="ab" * 32, config=CONFIG)
BAD = [np.nan, np.inf, -np.inf, 1e30]


def voice(**changes) -> Voice:
    arrays = {
        "latents": np.ones((1, SIZES.conditioning.num_latents, SIZES.gpt.model_dim), "float32"),
        "speaker_embedding": np.ones((1, SIZES.speaker.embedding_dim), "float32"),
    }
    return Voice(**arrays | changes, model=MODEL.fingerprint)


def with_one(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array.flat[1] = value
    return array


@pytest.mark.parametrize("name", ["latents", "speaker_embedding"])
@pytest.mark.parametrize("value", BAD)
def test_a_voice_with_such_numbers_is_refused(tmp_path, name, value):
    wrong = voice(**{name: with_one(getattr(voice(), name), value)})
    told = f"has {'latents' if name == 'latents' else 'a speaker embedding'} with"
    with pytest.raises(CheckpointError, match=told):
        wrong.require(MODEL)
    wrong.save(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=rf"a\.safetensors {told}"):
        Voice.load(tmp_path / "a.safetensors", MODEL)


@pytest.mark.parametrize(
    "change",
    [
        {"latents": np.ones((1, 3, 32), "float32")},
        {"latents": np.ones((0, 4, 32), "float32")},
        {"latents": np.ones((1, 4, 32), "int8")},
        {"speaker_embedding": np.ones((1, 3), "float32")},
        {"speaker_embedding": np.ones(16, "float32")},
    ],
)
def test_a_voice_of_other_sizes_is_refused(change):
    with pytest.raises(CheckpointError, match="is wanted"):
        voice(**change).require(MODEL)
    voice().require(MODEL)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_a_voice_of_another_precision_is_made_float32(tmp_path, dtype):
    whole = voice(latents=voice().latents.astype(dtype) / 3)
    whole.save(tmp_path / "a.safetensors")
    found = Voice.load(tmp_path / "a.safetensors", MODEL)
    assert found.latents.dtype == found.speaker_embedding.dtype == np.float32
    np.testing.assert_array_equal(found.latents, whole.latents.astype("float32"))


@pytest.mark.parametrize(
    ("names", "told"),
    [(["latents"], "it holds latents where"), (["latents", "speaker_embedding", "x"], ", x where")],
)
def test_a_voice_of_other_arrays_is_refused_by_their_names(tmp_path, names, told):
    facts = {"kind": "myxtts voice 1", "model": MODEL.fingerprint}
    facts |= {"encoder_provenance": "null", "references": "[]"}
    save_file({name: np.ones(3, "float32") for name in names}, tmp_path / "a.safetensors", facts)
    with pytest.raises(CheckpointError, match=told):
        Voice.load(tmp_path / "a.safetensors", MODEL)


@pytest.mark.parametrize("value", BAD)
def test_such_references_are_refused(value):
    audio = with_one(hum(1.0, 120, np.random.default_rng(0)), value)
    with pytest.raises(AudioError, match="the reference array holds samples"):
        read_reference(audio, SynthesisConfig(), -60.0)


def test_what_is_spoken_is_sound():
    np.testing.assert_array_equal(bounded(np.array([0.5, -3.0, 2.0])), [0.5, -1.0, 1.0])
    for value in (np.nan, np.inf):
        with pytest.raises(NotFiniteError, match="the model made samples"):
            bounded(np.array([0.0, value]))


def graph(function, **specs):
    """A signature, as exports have them."""
    return concrete(lambda **given: {"made": function(**given)}, specs)


ROWS = tf.TensorSpec((None, None))
CASES = {
    "voice": (lambda x: of_a_voice(x, "latents"), "latents holds"),
    "sound": (lambda x: require(x, *sound_rules(x)), "the audio holds"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("value", BAD)
def test_a_graph_refuses_them_by_a_sentence(case, value):
    function, told = CASES[case]
    run = graph(function, x=ROWS)
    good = np.full((2, 5), 0.5, "float32")
    np.testing.assert_array_equal(run(x=tf.constant(good))["made"], good)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"assertion failed: \[{told}"):
        run(x=tf.constant(with_one(good, value)))


def test_a_graphs_speech_is_finite_and_within_one():
    run = graph(speech, waveform=ROWS)
    made = run(waveform=tf.constant([[0.5, -1.5, 1e30]]))["made"]
    np.testing.assert_array_equal(made, [[0.5, -1.0, 1.0]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="the model made samples that are NaN"):
        run(waveform=tf.constant([[0.5, np.nan]]))


def test_inputs_of_other_rows_are_refused_by_a_sentence():
    run = graph(lambda a, b: a[:, 0] + b, a=ROWS, b=tf.TensorSpec((None,)))
    assert run(a=tf.ones((2, 1)), b=tf.ones(2))["made"].shape == (2,)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a, b must have equally many rows"):
        run(a=tf.ones((2, 1)), b=tf.ones(3))
    assert set(of_as_many_rows({"a": tf.ones(2)})) == {"a"}


@pytest.mark.parametrize(
    "shape", [(2, 4, 7), (2, 0, 8), (2, 3000, 8), (2, 4), (2, 4, 8, 1), (), (2, 8, 4)]
)
def test_inputs_of_other_shapes_are_refused_by_a_sentence(served, shape):
    """A server, unlike Python, hands them on; and the optimiser believes the signature."""
    good = {"latents": tf.ones((2, 4, 8)), "count": tf.ones(2)}
    np.testing.assert_array_equal(served(**good)["made"], [33, 33])
    told = r"assertion failed: \[latents must have the shape \(any, 4, 8\)"
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        served(**good | {"latents": tf.ones(shape)})


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A signature as it is loaded again."""
    module, folder = tf.Module(), str(tmp_path_factory.mktemp("served"))
    run = graph(
        lambda latents, count: tf.reduce_sum(latents, axis=(1, 2)) + count,
        latents=tf.TensorSpec((None, 4, 8)),
        count=tf.TensorSpec((None,)),
    )
    tf.saved_model.save(module, folder, signatures={"serving_default": run})
    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["serving_default"]
    signature.kept = loaded
    return signature


@pytest.mark.parametrize(
    ("audio", "length", "told"),
    [
        (np.full((1, 2000), 0.1), 2001, "more samples than the audio has"),
        (np.full((1, 2000), 0.1), 100, "needs at least 1600 samples"),
        (np.full((1, 2000), np.nan), 2000, "NaN or infinite"),
        (np.full((1, 2000), 1e30), 2000, "beyond 2.1"),
    ],
)
def test_an_embedding_is_asked_of_sound_only(audio, length, told):
    module = EmbeddingModule(lambda audio, lengths: audio[:, :4])
    run = module.signatures()["speaker_embedding"]
    given = {"audio": tf.constant(audio, "float32"), "lengths": tf.constant([length])}
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        run(**given)


def test_what_lies_behind_a_recordings_length_is_not_looked_at():
    audio = np.full((1, 2000), 0.1, "float32")
    audio[0, 1700:] = np.nan
    made = of_a_recording(tf.constant(audio), tf.constant([1700]), 1600)
    np.testing.assert_array_equal(made, audio)


def wav(format="WAV", subtype="PCM_16", channels=1) -> bytes:
    content = io.BytesIO()
    audio = np.repeat(hum(0.2, 120, np.random.default_rng(0))[:, None], channels, axis=1)
    soundfile.write(content, audio, 22_050, format=format, subtype=subtype)
    return content.getvalue()


FORMS = [("WAV", "PCM_16", 2), ("WAVEX", "PCM_16", 2), ("WAV", "PCM_U8", 1), ("WAV", "PCM_32", 1)]
FORMS += [("WAV", "FLOAT", 1), ("WAV", "DOUBLE", 1), ("WAVEX", "FLOAT", 1), ("RF64", "PCM_16", 1)]


@pytest.fixture(scope="module")
def read_wav():
    return tf.function(decoded, input_signature=[tf.TensorSpec((), "string")], autograph=False)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_graph_reads_wav_files_as_soundfile_does(read_wav, form):
    content = wav(*form)
    expected, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    samples, made_rate = read_wav(content)
    np.testing.assert_array_equal(samples, expected)
    assert int(made_rate) == rate


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (wav(subtype="GSM610"), "format 49 with 0 bits .* 16-bit PCM"),
        (wav(subtype="ULAW"), "format 7 with 8 bits"),
        (wav(subtype="MS_ADPCM"), "format 2 with 4 bits"),
        (wav()[:22] + b"\0\0" + wav()[24:], "without channels"),
        (wav()[:44], "without samples"),
        (wav()[:30], "without a format"),
    ],
)
def test_a_graph_names_the_wav_files_that_it_does_not_read(read_wav, content, told):
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        read_wav(content)
