"""The voices that come with the model: synthetic speakers, each recorded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from myxtts.audio.io import resample
from myxtts.errors import ConfigError, DataError
from myxtts.timing import MODEL_RATE
from tools.kokoro.voice_sources import find_voices
from tools.kokoro.voices import load_voices
from tools.voice_corpus.front_end import read
from tools.voice_corpus.hibari_speech import HibariSpeech
from tools.voice_corpus.kokoro_speech import KokoroSpeaker, KokoroSpeech
from tools.voice_corpus.speakers import PseudoSpeaker
from tools.voice_corpus.speech import SAMPLE_RATE, levelled, trimmed

# About twelve seconds, of which the model makes the voice.
TEXTS = (
    "The first snow fell in the night, and by morning the whole street was white and still.",
    "Would you mind waiting here for a moment while I look for my glasses?",
    "They talked about music, about their work, and about a journey to the sea.",
)


@dataclass(frozen=True)
class BoxVoice:
    """A voice to be packed.

    Attributes:
        name: to ask for it by.
        about: what it is like, in a few words.
        speaker: whom the model hears.
    """

    name: str
    about: str
    speaker: PseudoSpeaker | KokoroSpeaker

    @property
    def source(self) -> str:
        """Whose speech it is."""
        kokoro = isinstance(self.speaker, KokoroSpeaker)
        return "a mixture of Kokoro's voices" if kokoro else "hibari-tts, pitch and formants moved"


# The first speaks unasked.
VOICES = (
    BoxVoice("hana", "a woman, clear", PseudoSpeaker("hana")),
    BoxVoice(
        "oskar", "a man, deep and calm", PseudoSpeaker("oskar", 0.56, 0.9, 0.96, 0.9, -1.0, -0.5)
    ),
    BoxVoice("mina", "a young woman, lively", PseudoSpeaker("mina", 1.22, 1.1, 1.1, 1.2, 0.0, 0.5)),
    BoxVoice("theo", "a man, light", PseudoSpeaker("theo", 0.72, 0.98, 1.06, 1.1)),
    BoxVoice("vera", "a woman, low and slow", PseudoSpeaker("vera", 0.84, 0.93, 0.92, 0.9, 1.0)),
    BoxVoice("pip", "a child", PseudoSpeaker("pip", 1.33, 1.2, 1.0, 1.2, -2.0)),
    BoxVoice(
        "ruth",
        "a woman, British",
        KokoroSpeaker("ruth", ("bf_isabella", "bf_lily"), (0.6, 0.4)),
    ),
    BoxVoice(
        "frank",
        "a man, American",
        KokoroSpeaker("frank", ("am_michael", "am_fenrir"), (0.6, 0.4)),
    ),
)

# From a voice to its recordings, float32 ``(samples,)`` at 22.05 kHz.
Recorder = Callable[[BoxVoice], list[np.ndarray]]


def named(names: Sequence[str] | None) -> list[BoxVoice]:
    """The voices of these names, in their order; all when None.

    Raises:
        ConfigError: there is none of a name.
    """
    known = {voice.name: voice for voice in VOICES}
    for name in names or ():
        if name not in known:
            raise ConfigError(f"there is no voice {name}; those there are: {', '.join(known)}.")
    return [known[name] for name in names or known]


class Studio:
    """Records voices; what speaks is loaded when it is first needed.

    Args:
        voices: folder of Kokoro's voices, None to look for them.
    """

    def __init__(self, voices: str | None = None) -> None:
        self._place = voices
        self._teachers: dict[type, HibariSpeech | KokoroSpeech] = {}

    def __call__(self, voice: BoxVoice) -> list[np.ndarray]:
        """The voice saying ``TEXTS``, each float32 ``(samples,)`` at 22.05 kHz.

        Raises:
            WeightsError: what speaks is not installed.
            DataError: Kokoro's voices are missing.
        """
        return [resample(self._say(voice, text), SAMPLE_RATE, MODEL_RATE) for text in TEXTS]

    def _say(self, voice: BoxVoice, text: str) -> np.ndarray:
        reading = read(text)
        if reading is None:
            raise DataError(f"{text!r} could not be read.")
        rng = np.random.default_rng(0)
        made = self._teacher(voice).speak(reading.phonemes, voice.speaker, 1.0, rng)
        return levelled(trimmed(made, reading.phonemes)).audio

    def _teacher(self, voice: BoxVoice) -> HibariSpeech | KokoroSpeech:
        kind = type(voice.speaker)
        if kind not in self._teachers:
            self._teachers[kind] = (
                HibariSpeech()
                if kind is PseudoSpeaker
                else KokoroSpeech(load_voices(find_voices(self._place)))
            )
        return self._teachers[kind]
