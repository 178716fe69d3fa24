"""Who speaks in ``benchmarks/voice.py``, and the judges, who have no part in the speech."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measuring import in_turns
from benchmarks.voice_material import ReferenceVoice, Sentence
from myxtts.audio.io import read_audio
from myxtts.config import SynthesisConfig
from myxtts.inference.synthesizer import Synthesizer
from myxtts.inference.voice import Voice
from myxtts.models.xtts import XTTS
from myxtts.text.front_end import hibari
from myxtts.timing import OUTPUT_RATE, SPEAKER_RATE
from tools import judges
from tools.kokoro.phonemes import phonemize
from tools.kokoro.voice_sources import find_voices
from tools.kokoro.voices import load_voices
from tools.voice_corpus.kokoro_speech import KokoroSpeaker, KokoroSpeech

LEAST_SECONDS = 0.1  # of what is worth hearing
WARM_UP = "This is only said to build the graphs, and nobody hears it."


class Spoken(NamedTuple):
    """Speech, float32 ``(samples,)`` at 24 kHz, and what is known of how it was made."""

    waveform: np.ndarray
    facts: dict[str, Any]


class Ours:
    """A preset, speaking in the voice of a recording."""

    def __init__(self, preset: Path, settings: SynthesisConfig) -> None:
        self.synthesizer = Synthesizer(XTTS.from_preset(preset), settings)
        self._voices: dict[str, Voice] = {}

    def speak(self, sentence: Sentence, voice: ReferenceVoice) -> Spoken:
        """Speech with seconds of compute, attempts, flags and whether it ended by itself."""
        known = self._known(voice)
        started = time.perf_counter()
        spoken = self.synthesizer.speak(sentence.text, known)
        wanted = self.synthesizer.settings.candidates
        facts = {
            "compute": time.perf_counter() - started,
            # Beyond those that the settings ask for.
            "attempts": [max(count - wanted, 0) + 1 for count in spoken.attempts],
            "flags": [list(flags) for flags in spoken.flags],
            "finished": all(spoken.finished),
        }
        return Spoken(spoken.waveform, facts)

    def first_chunk(self, sentence: Sentence, voice: ReferenceVoice) -> np.ndarray:
        """What a stream gives first."""
        return next(self.synthesizer.stream(sentence.text, self._known(voice)))

    def warm_up(self, voice: ReferenceVoice) -> None:
        """Build the graphs, which is nobody's time."""
        self.speak(Sentence(0, WARM_UP), voice)

    def _known(self, voice: ReferenceVoice) -> Voice:
        if voice.name not in self._voices:
            self._voices[voice.name] = self.synthesizer.condition([voice.reference])
        return self._voices[voice.name]


class Hibari:
    """hibari-tts in its one voice.

    Raises:
        WeightsError: it is not installed.
    """

    def __init__(self) -> None:
        self._speaker = hibari().Hibari()

    def speak(self, sentence: Sentence) -> Spoken:
        """Speech."""
        return Spoken(np.asarray(self._speaker(sentence.text, seed=0), "float32"), {})


class Kokoro:
    """Kokoro-82M (int8) in any of its own voices.

    Raises:
        DataError, WeightsError: voices, model or front-end are missing.
    """

    def __init__(self, voices: str | Path | None) -> None:
        self._voices = load_voices(find_voices(voices))
        self._speech = KokoroSpeech(self._voices)

    @property
    def names(self) -> list[str]:
        """Of all voices."""
        return sorted(self._voices)

    def speak(self, text: str, voice: str) -> Spoken:
        """Speech in the voice of that name."""
        language = "en-gb" if voice.startswith("b") else "en-us"
        phonemes, rng = phonemize(text, language), np.random.default_rng(0)
        speech = self._speech.speak(phonemes, KokoroSpeaker(voice, (voice,)), 1.0, rng)
        return Spoken(speech.audio, {})


class Judges:
    """Whisper, DNSMOS and ECAPA-TDNN, which knows what the reference voices sound like."""

    def __init__(self, voices: Sequence[ReferenceVoice]) -> None:
        self._references = {voice.name: embedding(voice.reference) for voice in voices}

    def heard(self, text: str, audio: np.ndarray, rate: int = OUTPUT_RATE) -> dict[str, Any]:
        """Words and quality of speech ``(samples,)``."""
        found = words_heard(text, audio, rate)
        return found if len(audio) < LEAST_SECONDS * rate else found | quality(audio, rate)

    def likeness(self, audio: np.ndarray, rate: int = OUTPUT_RATE) -> dict[str, Any]:
        """Cosine to the reference of each voice."""
        if len(audio) < LEAST_SECONDS * rate:
            return {}
        found = judges.ecapa_embedding((audio, rate))
        return {"cosines": {name: rounded(found @ own) for name, own in self._references.items()}}

    def best_of(self, embeddings: Mapping[str, np.ndarray]) -> dict[str, tuple[str, float]]:
        """For each voice who is most like it (but is not it) and the cosine."""
        return {
            name: max(
                (
                    (other, rounded(own @ theirs))
                    for other, theirs in embeddings.items()
                    if other != name
                ),
                key=lambda pair: pair[1],
            )
            for name, own in self._references.items()
        }


def words_heard(text: str, audio: np.ndarray, rate: int) -> dict[str, Any]:
    """What Whisper hears in speech, and the word errors; nothing where there is hardly any."""
    heard = judges.transcribe(audio, rate) if len(audio) >= LEAST_SECONDS * rate else ""
    errors, words = judges.word_errors(text, heard)
    return {"heard": heard, "errors": errors, "words": words}


def quality(audio: np.ndarray, rate: int) -> dict[str, Any]:
    """DNSMOS of speech, and how many seconds it lasts."""
    return {"dnsmos": rounded(judges.dnsmos(audio, rate)), "seconds": rounded(len(audio) / rate)}


def embedding(path: Path) -> np.ndarray:
    """ECAPA-TDNN's of a recording."""
    return judges.ecapa_embedding(read_audio(path, SPEAKER_RATE))


def speeds(
    ours: Ours,
    others: Mapping[str, Any],
    sentences: Sequence[Sentence],
    voice: ReferenceVoice,
) -> dict[str, dict[str, float]]:
    """Real time factor of every side, in turns, and seconds to the first chunk of ours.

    Args:
        ours: the preset.
        others: a call of a sentence that gives :class:`Spoken`, by name.
        sentences: that all of them say, twice: the first time builds graphs.
        voice: in which ours speaks.
    """
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ("ours", *others)}
    chunks = []
    for sentence in sentences:
        calls = {"ours": lambda one=sentence: ours.speak(one, voice)}
        calls["first"] = lambda one=sentence: ours.first_chunk(one, voice)
        calls |= {name: lambda one=sentence, say=say: say(one) for name, say in others.items()}
        rounds = {name: rows[-1] for name, rows in in_turns(calls, 2).items()}
        chunks.append(rounds.pop("first")[0])
        for name, (took, spoken) in rounds.items():
            spent[name].append((took, len(spoken.waveform) / OUTPUT_RATE))
    factors = {
        name: sum(t for t, _ in rows) / sum(s for _, s in rows) for name, rows in spent.items()
    }
    return {
        "rtf": {name: rounded(value) for name, value in factors.items()},
        "first_chunk": {"ours": rounded(np.median(chunks))},
    }


def rounded(value: float) -> float:
    """To the fourth place, as a plain number."""
    return round(float(value), 4)
