"""hibari-tts, one fast voice (Kokoro's af_heart distilled), as many pseudo-speakers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import soxr

from myxtts.text.front_end import hibari, hibari_vocabulary
from tools.voice_corpus.speakers import PseudoSpeaker
from tools.voice_corpus.speech import SAMPLE_RATE, STEP, Speech, session_with_durations

DURATIONS = "/Clip_output_0"
_VOICED = 40.0  # hertz; hibari's synthesis takes what is lower for unvoiced
_BIN = 20.0  # hertz between two bins of its spectra
_KNEE = 1000.0  # hertz, where a tilt changes nothing
_LOWEST = 100.0  # hertz, below which a tilt stays as it is there
_NEPER = math.log(10) / 20  # of a decibel


class HibariSpeech:
    """Speaks phonemes as a pseudo-speaker.

    The network gives spectra and fundamental frequency, which are bent before hibari's own
    synthesis; formants move by playing the wave ``formants`` times as fast, and the pitch and
    the pace that this changes are changed the other way before.

    Raises:
        WeightsError: hibari-tts or onnx is missing, or of another version.
    """

    def __init__(self) -> None:
        self._dsp = hibari("hibari.dsp")
        model = Path(hibari().__file__).parent / "assets" / "hibari.onnx"
        self._session = session_with_durations(model.read_bytes(), DURATIONS)

    def speak(
        self, phonemes: str, speaker: PseudoSpeaker, pace: float, rng: np.random.Generator
    ) -> Speech:
        """Speech of the clip.

        Args:
            phonemes: that the vocabulary knows.
            speaker: who speaks.
            pace: of this clip, on top of the speaker's.
            rng: draws the noise in the voice.
        """
        ids = [0, *(hibari_vocabulary()[symbol] for symbol in phonemes), 0]
        speed = speaker.pace * pace / speaker.formants
        feed = {"ids": np.array([ids], "int64"), "speed": np.array([speed], "float32")}
        *parts, steps = self._session.run(None, feed)
        wave = self._dsp.synth(*bent([part[0] for part in parts], speaker), rng)
        audio = soxr.resample(wave, SAMPLE_RATE * speaker.formants, SAMPLE_RATE)
        seconds = steps.reshape(-1).astype("float64") * (STEP / SAMPLE_RATE / speaker.formants)
        return Speech(audio, seconds)


def bent(parts: list[np.ndarray], speaker: PseudoSpeaker) -> list[np.ndarray]:
    """The network's six outputs as the speaker has them.

    Args:
        parts: log-magnitude of harmonics, their phase, log-magnitude of noise, of the rest,
            its phase, all ``(bins, frames)``, and the fundamental frequency ``(frames,)``.
        speaker: who speaks.
    """
    harmonics, phase, noise, rest, rest_phase, f0 = parts
    hertz = np.maximum(np.arange(len(harmonics)) * _BIN, _LOWEST)
    gain = (speaker.tilt * _NEPER * np.log2(hertz / _KNEE)).astype("float32")[:, None]
    breath = np.float32(speaker.breath * _NEPER)
    return [
        harmonics + gain,
        phase,
        noise + gain + breath,
        rest + gain,
        rest_phase,
        pitched(f0, speaker.pitch / speaker.formants, speaker.intonation),
    ]


def pitched(f0: np.ndarray, factor: float, intonation: float) -> np.ndarray:
    """``f0`` ``(frames,)`` in hertz, times ``factor``, its way about the mean stretched."""
    voiced = f0 > _VOICED
    if not voiced.any():
        return f0
    mean = np.exp(np.log(f0[voiced]).mean())
    result = f0.copy()
    result[voiced] = np.maximum(factor * mean * (f0[voiced] / mean) ** intonation, _VOICED + 1)
    return result
