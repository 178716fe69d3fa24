"""Silences: cut out by a detector of speech, measured for noise, and cut at between words.

The chain is RTVC's: volume, WebRTC's detector with a moving average and a dilation
(:func:`trim_silences`), and utterances split where the words of an alignment are far apart.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myxtts.audio.log_mmse import denoised, noise_profile
from myxtts.errors import AudioError, ConfigError, DataError
from myxtts.timing import SPEAKER_RATE

TARGET_DBFS = -30.0
# Of the detector: samples of a window (30 ms), windows averaged, windows added on both sides.
WINDOW, AVERAGED, ADDED = 480, 8, 3
# Fewer seconds of silence make no profile of the noise.
LEAST_NOISE = 0.02


def raised_volume(wave: np.ndarray, target_dbfs: float = TARGET_DBFS) -> np.ndarray:
    """Float32 ``(samples,)`` brought up to a mean power of ``target_dbfs``; louder ones stay.

    Raises:
        AudioError: the wave is empty or silent.
    """
    wave = np.asarray(wave, "float32")
    power = float(np.mean(np.square(wave, dtype="float64"))) if len(wave) else 0.0
    if power == 0:
        raise AudioError("the recording is silent.")
    return (wave * max(gain_of(power, target_dbfs), 1.0)).astype("float32")


def gain_of(power: float, target_dbfs: float = TARGET_DBFS) -> float:
    """What a wave of a mean power is multiplied by to have ``target_dbfs``."""
    return 10 ** ((target_dbfs - 10 * np.log10(power)) / 20)


def voice_detector():
    """WebRTC's detector of speech at its strictest.

    Raises:
        ConfigError: ``webrtcvad`` is not installed.
    """
    try:
        return importlib.import_module("webrtcvad").Vad(3)
    except ImportError as error:
        raise ConfigError(
            "trimming silences needs webrtcvad; get it with: pip install webrtcvad-wheels"
        ) from error


def windows_of(wave: np.ndarray) -> np.ndarray:
    """The whole windows of ``(samples,)``, ``(windows, 480)``."""
    return wave[: len(wave) // WINDOW * WINDOW].reshape(-1, WINDOW)


def speech_flags(wave: np.ndarray) -> np.ndarray:
    """What WebRTC's detector, at its strictest, says of each whole window of 30 ms, bool.

    Raises:
        ConfigError: ``webrtcvad`` is not installed.
    """
    detector = voice_detector()
    pcm = np.round(np.clip(windows_of(wave), -1, 1) * 32_767).astype("int16")
    return np.array([detector.is_speech(row.tobytes(), SPEAKER_RATE) for row in pcm], bool)


def kept_windows(flags: np.ndarray) -> np.ndarray:
    """Windows that stay, bool: where five of eight are speech, and three on both sides of it."""
    if not len(flags):
        # Of less than a window.
        return np.zeros(0, bool)
    before = (AVERAGED - 1) // 2
    counts = np.convolve(np.asarray(flags, int), np.ones(AVERAGED, int))
    counts = counts[AVERAGED - 1 - before :][: len(flags)]
    # Half of them round to none, as half an even number does.
    speech = counts > AVERAGED // 2
    spread = np.convolve(speech, np.ones(2 * ADDED + 1, int))
    return spread[ADDED : ADDED + len(flags)] > 0


def trim_silences(wave: np.ndarray) -> np.ndarray:
    """Cut long silences out of float ``(samples,)`` at 16 kHz; nothing is left of silence.

    Raises:
        ConfigError: ``webrtcvad`` is not installed.
    """
    kept = kept_windows(speech_flags(wave))
    return windows_of(wave)[kept].ravel()


def has_detector() -> bool:
    """Whether silences can be trimmed here."""
    return importlib.util.find_spec("webrtcvad") is not None


@dataclass(frozen=True)
class Splitting:
    """Where and how utterances are split.

    Attributes:
        sample_rate: of the waves, in Hz.
        silence: seconds between two words that part them.
        shortest, longest: seconds of a segment; one that is shorter is joined to its neighbour
            unless both are longer than ``longest``.
    """

    sample_rate: int = SPEAKER_RATE
    silence: float = 0.4
    shortest: float = 1.6
    longest: float = 900 * 200 / SPEAKER_RATE


def segments_of(
    words: Sequence[str], ends: Sequence[float], rule: Splitting = Splitting()
) -> tuple[list[tuple[float, float]], list[str], list[tuple[float, float]]]:
    """Times of the segments, their texts, and times of the silences they are parted by.

    Args:
        words: of an alignment; silences are empty, the first and the last word among them.
        ends: of the words, in seconds.
        rule: where to split.

    Raises:
        DataError: the alignment has no silence at an end, or words without times.
    """
    if len(words) != len(ends) or not words:
        raise DataError(f"an alignment has {len(words)} words and {len(ends)} times.")
    if words[0] or words[-1]:
        raise DataError("an alignment does not begin and end with a silence.")
    starts = [0.0, *ends[:-1]]
    if not np.all(np.isfinite(ends)) or np.any(np.less(ends, starts)):
        raise DataError("the times of an alignment do not grow.")
    last = len(words) - 1
    breaks = [
        place
        for place, word in enumerate(words)
        if place in (0, last) or (not word and ends[place] - starts[place] >= rule.silence)
    ]
    parts = list(zip(breaks[:-1], breaks[1:], strict=True))
    parts = _joined(parts, [starts[b] - ends[a] for a, b in parts], rule)
    times = [(ends[first], starts[end]) for first, end in parts]
    texts = [" ".join(words[first + 1 : end]).replace("  ", " ") for first, end in parts]
    return times, texts, [(starts[place], ends[place]) for place in breaks]


def split_on_silences(
    wave: np.ndarray, words: Sequence[str], ends: Sequence[float], rule: Splitting = Splitting()
) -> list[tuple[np.ndarray, str]]:
    """Segments of a wave with their words, without the noise of the silences between them.

    Args:
        wave: float ``(samples,)``, as loud as it is to be.
        words, ends, rule: as :func:`segments_of` says.

    Raises:
        DataError: as :func:`segments_of` says.
    """
    times, texts, silences = segments_of(words, ends, rule)
    noise = np.concatenate([_cut(wave, span, rule.sample_rate) for span in silences])
    if len(noise) > rule.sample_rate * LEAST_NOISE:
        wave = denoised(wave, noise_profile(noise, rule.sample_rate))
    return [
        (_cut(wave, span, rule.sample_rate), text) for span, text in zip(times, texts, strict=True)
    ]


def _cut(wave: np.ndarray, span: tuple[float, float], rate: int) -> np.ndarray:
    return wave[int(span[0] * rate) : int(span[1] * rate)]


def _joined(parts: list, lengths: list[float], rule: Splitting) -> list:
    """``parts`` with the short ones joined to the shorter of their neighbours."""
    place = 0
    while place < len(parts) and len(parts) > 1:
        left = lengths[place - 1] if place else np.inf
        right = lengths[place + 1] if place + 1 < len(parts) else np.inf
        both = lengths[place] + min(left, right)
        if lengths[place] >= rule.shortest or both > rule.longest:
            place += 1
            continue
        first = place - 1 if left <= right else place
        parts[first : first + 2] = [(parts[first][0], parts[first + 1][1])]
        lengths[first : first + 2] = [both]
    return parts
