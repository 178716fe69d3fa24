"""Speech inside a graph is the synthesizer's, whatever stands beside it in a batch."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from myxtts.audio.io import padded
from myxtts.config import SynthesisConfig
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.serving.graph.synthesizer import GraphSpeaker
from tests.conftest import hum

RATE = 22_050
GREEDY = SynthesisConfig(temperature=0.0, repetition_penalty=2.0, retries=0, vocoder="hifi")
TEXTS = ("This is clip number 3.", "a", "This is this clip number, this number is this.")


@pytest.fixture(scope="module")
def model(trained):
    model = XTTS.from_preset(trained.preset)
    model.config = dataclasses.replace(model.config, synthesis=GREEDY)
    return model


@pytest.fixture(scope="module")
def speaker(model):
    return GraphSpeaker(model, "hifi")


@pytest.fixture(scope="module")
def synthesizer(model):
    return Synthesizer(model, GREEDY)


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(3)
    clips = [hum(seconds, 110.0 + 20 * seconds, rng) for seconds in (1.2, 9.3, 4.1)]
    clips[1][5 * RATE :] = 0  # its last chunk is silent
    return clips


@pytest.fixture(scope="module")
def voices(synthesizer, clips):
    return [synthesizer.condition([clip]) for clip in clips]


def rows(values, dtype="int32"):
    return tf.constant(np.asarray(values, dtype))


def texts(model, wanted=TEXTS):
    ids = [model.tokenizer.encode(text, "en") for text in wanted]
    table = np.zeros((len(ids), max(map(len, ids)) + 3), "int32")
    for row, own in zip(table, ids, strict=True):
        row[: len(own)] = own
    return rows(table), rows([len(own) for own in ids]), rows([len(text) for text in wanted])


def options(count, **changes):
    values = {
        "temperature": ("float32", 0.0),
        "top_k": ("int32", 0),
        "top_p": ("float32", 1.0),
        "repetition_penalty": ("float32", 2.0),
        "seed": ("int64", 0),
    }
    return {
        name: rows([changes.get(name, value)] * count, dtype)
        for name, (dtype, value) in values.items()
    }


def stacked(voices):
    return {
        "latents": tf.constant(np.concatenate([voice.latents for voice in voices])),
        "speaker_embedding": tf.constant(
            np.concatenate([voice.speaker_embedding for voice in voices])
        ),
    }


def test_voices_of_a_batch_are_the_synthesizers(speaker, clips, voices):
    audio, lengths = padded(clips)
    noise = np.full((len(clips), 500), np.nan, "float32")  # padding may be anything
    found = tf.function(speaker.condition, autograph=False)(np.hstack([audio, noise]), lengths)
    expected = stacked(voices)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=2e-5, err_msg=name)


def test_speech_of_a_batch_is_the_synthesizers(model, speaker, synthesizer, voices):
    ids, lengths, characters = texts(model)
    speak = tf.function(speaker.speak, autograph=False)
    spoken = speak(ids, lengths, stacked(voices), options(3), characters)
    for row, (text, voice) in enumerate(zip(TEXTS, voices, strict=True)):
        alone = synthesizer.speak(text, voice)
        count, samples = int(spoken["code_lengths"][row]), int(spoken["samples"][row])
        np.testing.assert_array_equal(spoken["codes"][row, :count], alone.codes[0])
        assert bool(spoken["unfinished"][row]) != alone.finished[0]
        flags = ("unfinished", "repeats", "silence", "doubtful_stop")
        assert tuple(name for name in flags if spoken[name][row]) == alone.flags[0]
        assert samples == len(alone.waveform)
        np.testing.assert_allclose(spoken["waveform"][row, :samples], alone.waveform, atol=1e-4)
        assert not np.any(spoken["waveform"][row, samples:])


def test_a_seed_is_the_same_speech_alone_and_in_a_batch(model, speaker, voices):
    ids, lengths, characters = texts(model)
    several = options(3, temperature=0.9) | {"seed": rows([4, 5, 4], "int64")}
    together = speaker.speak(ids, lengths, stacked(voices), several, characters)
    own = {name: value[2:] for name, value in several.items()}
    alone = speaker.speak(ids[2:], lengths[2:], stacked(voices[2:]), own, characters[2:])
    count = int(alone["code_lengths"][0])
    np.testing.assert_array_equal(together["codes"][2, :count], alone["codes"][0, :count])


def test_griffin_lim_speaks_too(model, voices):
    ids, lengths, characters = texts(model)
    speaker = GraphSpeaker(model, "griffin_lim")
    spoken = speaker.speak(ids, lengths, stacked(voices), options(3), characters)
    waveform, samples = spoken["waveform"].numpy(), spoken["samples"].numpy()
    assert waveform.shape == (3, samples.max())
    assert np.isfinite(waveform).all()
    assert np.abs(waveform).max() <= 1


@pytest.mark.parametrize(
    ("audio", "sentence"),
    [
        (np.zeros((1, RATE)), "silent"),
        (np.full((1, RATE), np.nan), "NaN"),
        (np.ones((1, 100)), "at least 0.3 s"),
    ],
)
def test_bad_references_are_refused(speaker, audio, sentence):
    with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
        speaker.condition(tf.constant(audio, "float32"), rows([audio.shape[1]]))


@pytest.mark.parametrize(
    ("ids", "length", "change", "sentence"),
    [
        ([[1, 2]], 0, {}, "nothing that can be spoken"),
        ([[1] * 90], 90, {}, "send it in pieces"),
        ([[1, 9999]], 2, {}, "not in the vocabulary"),
        ([[1, -2]], 2, {}, "not in the vocabulary"),
        ([[1, 2]], 2, {"temperature": -1.0}, "temperature"),
        ([[1, 2]], 2, {"top_p": 0.0}, "top_p"),
    ],
)
def test_bad_texts_and_options_are_refused(speaker, voices, ids, length, change, sentence):
    voice = stacked(voices[:1])
    with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
        speaker.speak(rows(ids), rows([length]), voice, options(1, **change), rows([5]))
