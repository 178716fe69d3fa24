"""Beam search chooses the codes that Coqui's ``generate`` chooses; needs coqui-tts."""

import itertools
import json
import types

import numpy as np
import pytest
import tensorflow as tf

from myxtts.config import SynthesisConfig
from myxtts.generation.beams import beam_search
from myxtts.inference.synthesizer import Synthesizer
from myxtts.inference.voice import Voice
from myxtts.models.gpt import GPT
from myxtts.weights.coqui_xtts import convert_checkpoint

TTS = pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")

BEAMS = 3
LENGTHS = (12, 30, 5)
LENGTH_PENALTIES = (-1.0, 0.5, 1.0, 2.0)
REPETITION_PENALTIES = (1.0, 5.0)
# So much likelier than in the checkpoint that hypotheses of many lengths end.
STOP_BONUS = 4.5
# Two seconds, the shortest bound that a synthesizer sets.
STEPS = 44


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Torch's threads wait long for each other where others work too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def models(one_thread, tmp_path_factory):
    """Coqui's XTTS and this package's, of the same weights."""
    from benchmarks.upstream.coqui import write_checkpoint

    folder = tmp_path_factory.mktemp("XTTS-v2")
    return write_checkpoint(folder)[0], convert_checkpoint(folder)


@pytest.fixture(scope="module")
def pair(models):
    """The GPTs of both, which end sooner than in the checkpoint."""
    theirs, ours = (model.gpt for model in models)
    theirs.max_gen_mel_tokens = STEPS
    with torch.no_grad():
        theirs.mel_head.bias[-1] += STOP_BONUS
    bias = ours.audio_head.bias.numpy()
    bias[-1] += STOP_BONUS
    ours.audio_head.bias.assign(bias)
    return theirs, ours


@pytest.fixture(scope="module")
def prompts(pair):
    """Text ids and conditioning latents of one text each."""
    rng, gpt = np.random.default_rng(0), pair[1]
    shape = (1, 32, gpt.model_dim)
    return [
        (rng.integers(2, 200, (1, length)), rng.normal(size=shape).astype("float32"))
        for length in LENGTHS
    ]


@pytest.fixture(scope="module")
def searched(pair):
    """This package's search, compiled once for all texts and penalties."""
    gpt: GPT = pair[1]

    @tf.function(reduce_retracing=True)
    def search(ids, lengths, latents, length_penalty, repetition_penalty):
        return beam_search(
            gpt,
            ids,
            lengths,
            latents,
            STEPS,
            num_beams=BEAMS,
            length_penalty=length_penalty,
            repetition_penalty=repetition_penalty,
            coqui_compatible=True,
        )

    return search


@torch.no_grad()
def coquis(gpt, ids, latents, **penalties) -> np.ndarray:
    """The codes of Coqui's search ``(codes,)``, its stop code with them."""
    found = gpt.generate(
        cond_latents=torch.from_numpy(latents),
        text_inputs=torch.from_numpy(ids),
        do_sample=False,
        num_beams=BEAMS,
        **penalties,
    )
    return found[0].numpy()


def search(searched, ids, latents, **penalties) -> dict:
    given = (ids.astype("int32"), np.array(ids.shape[1:], "int32"), latents)
    numbers = (penalties["length_penalty"], penalties["repetition_penalty"])
    found = searched(*given, *(tf.constant(number) for number in numbers))
    return {name: value.numpy()[0] for name, value in found.items()}


@pytest.fixture(scope="module")
def results(pair, prompts, searched):
    """Both sides' speech of every text under every penalty."""
    found = {}
    for options in itertools.product(LENGTH_PENALTIES, REPETITION_PENALTIES):
        penalties = dict(zip(("length_penalty", "repetition_penalty"), options, strict=True))
        found[options] = [
            (coquis(pair[0], *prompt, **penalties), search(searched, *prompt, **penalties))
            for prompt in prompts
        ]
    return found


@pytest.mark.parametrize("repetition_penalty", REPETITION_PENALTIES)
@pytest.mark.parametrize("length_penalty", LENGTH_PENALTIES)
def test_codes_are_coquis(pair, results, length_penalty, repetition_penalty):
    for theirs, ours in results[length_penalty, repetition_penalty]:
        ended = theirs[-1] == pair[1].stop_audio_token
        np.testing.assert_array_equal(ours["codes"][: len(theirs)], theirs)
        assert ours["lengths"] == len(theirs) - ended
        assert ours["finished"] == ended


def test_the_cases_tell_searches_apart(results):
    found = [theirs.tolist() for pairs in results.values() for theirs, _ in pairs]
    assert len({len(codes) for codes in found}) >= 4
    assert len(set(map(tuple, found))) >= 8


@torch.no_grad()
def test_latents_are_those_of_coquis_second_pass(pair, prompts, results):
    from benchmarks.upstream.coqui import speech_latents

    upstream = types.SimpleNamespace(gpt=pair[0])
    for (ids, latents), (codes, ours) in zip(prompts, results[2.0, 5.0], strict=True):
        sides = (torch.from_numpy(side) for side in (latents, ids, codes[None]))
        theirs = speech_latents(upstream, *sides)[0].numpy()
        np.testing.assert_allclose(ours["latents"][: len(theirs)], theirs, atol=1e-4)


def test_a_synthesizer_speaks_the_codes_of_coquis_inference(models, pair, prompts):
    text, latents = "Hello there.", prompts[0][1]
    settings = SynthesisConfig(
        temperature=0.0,
        num_beams=BEAMS,
        length_penalty=2.0,
        repetition_penalty=5.0,
        seconds_per_character=1e-6,
        coqui_compatible=True,
        vocoder="griffin_lim",
    )
    model = models[1]
    speaker = np.ones((1, 512), "float32")
    voice = Voice(latents, speaker, model.fingerprint, model.encoder_provenance, ())
    spoken = Synthesizer(model, settings).speak(text, voice)
    ids = np.array([models[0].tokenizer.encode(text.lower(), lang="en")])
    expected = coquis(pair[0], ids, latents, length_penalty=2.0, repetition_penalty=5.0)
    np.testing.assert_array_equal(spoken.codes[0], expected[expected < model.gpt.num_codes])
    assert len(spoken.codes[0]) > 5


@pytest.mark.parametrize("values", [{}, {"num_beams": 1, "length_penalty": 2.0}])
def test_the_settings_of_config_json_are_kept(tmp_path, models, values):
    from benchmarks.upstream.coqui import write_checkpoint

    write_checkpoint(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"temperature": 0.75} | values))
    settings = convert_checkpoint(tmp_path).config.synthesis
    assert settings.num_beams == 1
    assert settings.length_penalty == values.get("length_penalty", 1.0)
