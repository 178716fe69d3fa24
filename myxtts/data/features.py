"""Features of utterances: computed once, screened, kept on disk.

An utterance's features lie in one file under a key of everything that decides
them, so that a second epoch and a second run read no audio.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import librosa
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from myxtts.audio.frontends import XTTS_CONDITIONING, XTTS_DVAE, MelSpec, spec_dict
from myxtts.audio.io import read_audio, resample
from myxtts.audio.mel import MelSpectrogram
from myxtts.config import DataConfig
from myxtts.data.formats import Utterance, is_file
from myxtts.errors import AudioError, DataError
from myxtts.files import replacing, writable_folder, write_whole
from myxtts.timing import OUTPUT_RATE, SPEAKER_RATE

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
TRIM_DB = 40.0
# Waveforms are padded to a multiple of this before the mel, so that few graphs are traced.
SAMPLE_MULTIPLE = 22_050


@dataclass
class Report:
    """What became of every utterance of a corpus.

    Attributes:
        corpus: folder.
        kept: utterances that can be used.
        seconds: their speech.
        skipped: pairs of a file and why it was left out.
    """

    corpus: str
    kept: int = 0
    seconds: float = 0.0
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many were left out for each reason."""
        return dict(Counter(reason.split(":")[0] for _, reason in self.skipped))

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        content = dataclasses.asdict(self) | {"counts": self.counts()}
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")

    def __str__(self) -> str:
        text = f"{self.corpus}: {self.kept} utterances, {self.seconds / 60:.1f} minutes"
        if self.skipped:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.counts().items())
            text += f"; left out {len(self.skipped)} ({reasons})"
        return text


class FeatureStore:
    """Features of utterances, by way of a cache folder.

    Args:
        config: what makes an utterance fit, and how it is trimmed.
        cache_dir: folder of the cache; a folder named by the key is made in it.
    """

    def __init__(self, config: DataConfig, cache_dir: str | Path):
        self.config = config
        self.folder = Path(cache_dir) / feature_key(config)
        writable_folder(self.folder, DataError)
        self._mels = {spec: _mel_function(spec) for spec in (XTTS_DVAE, XTTS_CONDITIONING)}

    def load(self, utterance: Utterance) -> dict[str, np.ndarray]:
        """Features of one utterance, from the cache where they are.

        Returns:
            ``dvae_mel`` ``(frames, 80)`` and ``cond_mel`` ``(frames, 80)``, float16
            log-mels that are not normalised; ``wave`` int16 at 24 kHz; ``audio_16k``
            int16 at 16 kHz.

        Raises:
            AudioError: the recording cannot be used; the sentence starts with the reason.
        """
        if not is_file(utterance.path):
            raise AudioError(f"no audio file {utterance.path}.")
        path = self.path(utterance)
        if path.is_file():
            try:
                return _read(path)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
                logger.warning("the cached features %s are damaged; computing them again", path)
        refusal = path.with_suffix(".refused")
        if refusal.is_file():
            raise AudioError(refusal.read_text(encoding="utf-8", errors="replace"))
        try:
            return self._compute(utterance, path)
        except AudioError as error:
            # A file that may not be read today may be readable tomorrow, unchanged.
            if os.access(utterance.path, os.R_OK):
                write_whole(refusal, str(error).encode("utf-8", "replace"), DataError)
            raise

    def path(self, utterance: Utterance) -> Path:
        """Cache file of a recording that exists: a changed recording gets another one."""
        source = utterance.path
        status = source.stat()
        stamp = f"{status.st_size}:{status.st_mtime_ns}"
        name = hashlib.sha256(f"{source.resolve()}:{stamp}".encode()).hexdigest()[:24]
        return self.folder / f"{name}.npz"

    def _compute(self, utterance: Utterance, path: Path) -> dict[str, np.ndarray]:
        rate = XTTS_DVAE.sample_rate
        audio, original_rate = read_audio(utterance.path)
        audio = self._screen(audio, original_rate)
        at_model_rate = resample(audio, original_rate, rate)
        features = {
            "dvae_mel": self._mel(at_model_rate, XTTS_DVAE),
            "cond_mel": self._mel(at_model_rate, XTTS_CONDITIONING),
            "wave": _pcm16(resample(audio, original_rate, OUTPUT_RATE)),
            "audio_16k": _pcm16(resample(audio, original_rate, SPEAKER_RATE)),
        }
        with replacing(path, DataError) as fresh:
            np.savez(fresh, **features)
        return features

    def _screen(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Trimmed audio, or an ``AudioError`` whose first words are the reason."""
        config = self.config
        peak = float(np.max(np.abs(audio)))
        if peak < 10 ** (config.silence_db / 20):
            raise AudioError("silent")
        if config.trim_silence:
            audio, _ = librosa.effects.trim(audio, top_db=TRIM_DB)
        seconds = len(audio) / rate
        if seconds < config.min_seconds:
            raise AudioError(f"too short: {seconds:.2f} s")
        if seconds > config.max_seconds:
            raise AudioError(f"too long: {seconds:.2f} s")
        return audio

    def _mel(self, audio: np.ndarray, spec: MelSpec) -> np.ndarray:
        # The end is reflected as the front-end would, before zeros round the length up.
        half = spec.n_fft // 2
        padded = np.pad(audio, (0, half), mode="reflect" if len(audio) > half else "constant")
        padded = np.pad(padded, (0, -len(padded) % SAMPLE_MULTIPLE))
        mel = self._mels[spec](padded[None])[0]
        return np.asarray(mel[: spec.num_frames(len(audio))]).astype("float16")


def screen_corpus(
    folder: str | Path,
    utterances: list[Utterance],
    store: FeatureStore,
    fits_text: Callable[[Utterance], str | None],
    max_frames: int | None = None,
) -> tuple[list[Utterance], Report]:
    """Compute (or find) the features of a corpus and leave out what cannot be used.

    Args:
        folder: corpus, for messages.
        utterances: as :func:`~myxtts.data.formats.find_utterances` lists them.
        store: the feature cache.
        fits_text: function from an utterance to None or the reason its text cannot be used.
        max_frames: longest speech the model can hold, in frames of the ``dvae_mel``.

    Returns:
        The usable utterances and the report.

    Raises:
        DataError: not one utterance can be used.
    """
    report = Report(str(folder))
    usable = []
    for utterance in tqdm(utterances, desc=f"features of {Path(folder).name}", disable=None):
        reason = fits_text(utterance)
        if reason is None:
            reason, seconds = _hear(utterance, store, max_frames)
        if reason:
            report.skipped.append((str(utterance.path), reason))
        else:
            usable.append(utterance)
            report.seconds += seconds
    report.kept = len(usable)
    if not usable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.counts().items())
        path, reason = report.skipped[0]
        raise DataError(
            f"{folder} has no usable utterance: {reasons}; first {path}: {reason.rstrip('.')}."
        )
    return usable, report


def feature_key(config: DataConfig) -> str:
    """Name of the folder for features made under ``config``."""
    decisive = {
        "version": FORMAT_VERSION,
        "mels": [spec_dict(XTTS_DVAE), spec_dict(XTTS_CONDITIONING)],
        "rates": [OUTPUT_RATE, SPEAKER_RATE],
        "trim": [config.trim_silence, TRIM_DB],
        "screen": [config.min_seconds, config.max_seconds, config.silence_db],
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]


def mel_stats(utterances: list[Utterance], store: FeatureStore) -> np.ndarray:
    """Mean magnitude of every log-mel channel over a corpus, ``(80,)`` float32."""
    total, frames = np.zeros(XTTS_DVAE.n_mels, "float64"), 0
    for utterance in utterances:
        mel = np.abs(store.load(utterance)["dvae_mel"].astype("float64"))
        total += mel.sum(axis=0)
        frames += len(mel)
    return np.maximum(total / max(frames, 1), 1e-3).astype("float32")


def _hear(
    utterance: Utterance, store: FeatureStore, max_frames: int | None
) -> tuple[str | None, float]:
    """Why a recording cannot be used, or None, and its seconds."""
    try:
        features = store.load(utterance)
    except AudioError as error:
        return _reason(utterance, str(error)), 0.0
    except (MemoryError, OSError) as error:
        # A header may lie about the size of its file, and a disk may fail.
        return f"corrupt: {utterance.path} cannot be read: {error}", 0.0
    seconds = len(features["wave"]) / OUTPUT_RATE
    if max_frames is not None and len(features["dvae_mel"]) > max_frames:
        return f"too long for the model: {seconds:.2f} s", seconds
    return None, seconds


def _reason(utterance: Utterance, message: str) -> str:
    if not is_file(utterance.path):
        return "missing"
    if message.startswith(("silent", "too short", "too long")):
        return message
    if message.endswith("NaN or infinite."):
        return "NaN samples"
    return "corrupt: " + message


def _mel_function(spec: MelSpec):
    return tf.function(MelSpectrogram(spec), reduce_retracing=True)


def _pcm16(audio: np.ndarray) -> np.ndarray:
    return np.round(np.clip(audio, -1.0, 1.0) * 32767).astype("int16")


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in ("dvae_mel", "cond_mel", "wave", "audio_16k")}
