"""Texts as mels: pieces, seeds, attempts, and what is refused."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from myxtts.errors import ConfigError, TextError
from myxtts.generation.driver import Attempt
from myxtts.inference import spectrograms
from myxtts.inference.spectrograms import MelTake, SpectrogramSynthesizer
from myxtts.models.tacotron import Tacotron
from myxtts.synthesizer_config import TacotronConfig
from myxtts.text import front_end
from myxtts.text.symbols import PHONEME_SYMBOLS
from tests.models.test_tacotron import TINY, tiny

OWN = np.ones(4, "float32")


@pytest.fixture(scope="module")
def synthesizer():
    keras.utils.set_random_seed(0)
    return speaker_of(TINY)


def speaker_of(config, **options):
    model = Tacotron(config)
    model.build()
    return SpectrogramSynthesizer(model, **{"retries": 1} | options)


def test_pieces_have_twenty_words_at_most(synthesizer):
    text = "One two. " + "word " * 30 + "and so, " + "more " * 15 + "end. Last one!"
    pieces = synthesizer.pieces(text)
    assert all(len(piece.split()) <= 20 for piece in pieces)
    assert " ".join(pieces).split() == text.split()
    with pytest.raises(TextError):
        synthesizer.pieces(" ... ")


def test_a_seed_gives_the_same_mels(monkeypatch):
    monkeypatch.setattr(spectrograms, "LEAST_FRAMES", 20)
    monkeypatch.setattr(spectrograms, "FRAMES_A_CHARACTER", 0)
    synthesizer = speaker_of(replace(TINY, dropout=0.5, dropout_in_speech=True))
    texts = ["A sentence that is said as it stands here.", "Two"]
    first, again, other = (synthesizer.synthesize(texts, OWN, seed) for seed in (1, 1, 2))
    for one, same, unlike in zip(first, again, other, strict=True):
        assert one.shape[0] == 5 and one.dtype == np.float32
        assert np.array_equal(one, same)
        assert one.shape != unlike.shape or not np.array_equal(one, unlike)


@pytest.mark.parametrize(
    ("number", "options", "drops"),
    [
        (0, {}, False),
        (1, {}, True),
        (0, {"plain": True}, True),
        (0, {"dropout": True}, True),
        (0, {"plain": True, "dropout": False}, False),
    ],
)
def test_what_is_said_first_has_no_dropout(monkeypatch, number, options, drops):
    monkeypatch.setattr(spectrograms, "LEAST_FRAMES", 20)
    monkeypatch.setattr(spectrograms, "MOST_FRAMES", 20)
    synthesizer = speaker_of(replace(TINY, dropout=0.5), **options)
    attempt = Attempt("A sentence that is said as it stands here.", 0, number)
    one, other = (synthesizer.take(attempt, OWN, seed).mel for seed in (1, 2))
    alike = one.shape == other.shape and np.array_equal(one, other)
    assert alike != drops


def test_a_flag_is_tried_again_and_pieces_are_joined(synthesizer, monkeypatch):
    tried = []

    def take(attempt, embedding, seed, context=True):
        tried.append((attempt.piece, attempt.number))
        flags = ("skips",) if attempt.piece == 0 and attempt.number == 0 else ()
        return MelTake(np.ones((3, 5), "float32"), np.ones((2, 2)), flags)

    monkeypatch.setattr(synthesizer, "take", take)
    words = "word " * 19
    (mel,) = synthesizer.synthesize([f"{words}end. {words}end."], OWN)
    assert tried == [(0, 0), (0, 1), (1, 0)]
    assert mel.shape == (5, 3 + 12 + 3) and np.all(mel[:, 3:15] == -4)


def test_embeddings_must_fit(synthesizer):
    with pytest.raises(ConfigError, match=r"\(2, 4\) is wanted"):
        synthesizer.synthesize(["a", "b"], np.ones((3, 4)))
    with pytest.raises(ConfigError, match="is wanted"):
        synthesizer.synthesize(["a"], np.ones(7))


def test_a_context_is_cut_off_in_the_pause_behind_it():
    # Steps of two frames: a character's own step, and at the place of each a loudness.
    attention = np.eye(8)[[0, 1, 2, 3, 4, 4, 5, 6, 7]]
    mel = np.repeat(np.array([1, 1, 1, -1, -3, 1, 2, 2, 2.0]), 2)[:, None] * np.ones(5)
    # The mark is character 3, a space 4; the first sound begins in the second step of the space.
    assert spectrograms._between(mel, attention, 5) == 9
    mel[8] = -4
    assert spectrograms._between(mel, attention, 5) == 8
    # Nothing of the text was attended to: what is left is the last step's.
    assert spectrograms._between(mel[:6], attention[:3], 5) >= 4


def test_silence_at_the_end_is_cut():
    mel = np.full((6, 5), -4.0)
    assert len(spectrograms._without_silence(mel)) == 1
    mel[3] = 0
    assert len(spectrograms._without_silence(mel)) == 4


def test_a_model_of_phonemes_is_given_letters(monkeypatch):
    monkeypatch.setitem(
        front_end.FRONT_ENDS, "hibari", (lambda text: text.replace("Hello", "həlˈO"), ("en",))
    )
    model = Tacotron(TacotronConfig(**{**vars(TINY), "symbols": PHONEME_SYMBOLS}))
    model.build()
    speaker = SpectrogramSynthesizer(model, context="Hello.")
    assert speaker.pieces("Hello. [ðɛɹ!]") == ["[həlˈO]. [ðɛɹ]!"]
    assert speaker.plain is False and speaker._context == "[həlˈO]."
    # Letters stay letters to a model that knows nothing else.
    assert SpectrogramSynthesizer(tiny()).pieces("Hello.") == ["Hello."]
