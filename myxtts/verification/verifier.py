"""Speaker verification: embeddings, enrolled voices and decisions at a measured threshold."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from myxtts.audio.decoding import duration
from myxtts.audio.frontends import XTTS_CONDITIONING
from myxtts.audio.io import check_samples, padded, read_audio
from myxtts.audio.silences import kept_windows, speech_flags, voice_detector, windows_of
from myxtts.errors import AudioError, ConfigError, WeightsError
from myxtts.models.resemblyzer import TARGET_DBFS
from myxtts.models.speaker_encoder import KIND, RANDOM, PretrainedSpeakerEncoder
from myxtts.models.xtts import MAIN, XTTS
from myxtts.presets.record import kind_of
from myxtts.timing import SPEAKER_RATE
from myxtts.verification.threshold import Threshold, preset_threshold, shipped_threshold
from myxtts.weights.speaker_encoders import pretrained_speaker_encoder

logger = logging.getLogger(__name__)

BATCH_SIZE = 16
MIN_SECONDS = 0.1
# A whole clip goes through an encoder at once; half a gigabyte is what these take.
LONGEST_SECONDS = 300.0

Clip = str | Path | np.ndarray


@dataclass(frozen=True)
class Verification:
    """One decision: ``accepted`` where ``score`` reaches ``threshold``."""

    score: float
    threshold: float
    accepted: bool


class PresetEncoder:
    """The projected speaker embedding of an XTTS preset, called like a speaker encoder.

    ``(batch, samples)`` at 22.05 kHz becomes ``(batch, embedding_dim)`` of length one,
    the second output of the preset's audio encoder.

    Raises:
        CheckpointError: the folder is no preset or is damaged.
    """

    sample_rate = XTTS_CONDITIONING.sample_rate

    def __init__(self, folder: str | Path):
        model = XTTS.from_preset(folder)
        self.audio_encoder = model.audio_encoder
        self.provenance = f"{MAIN}@sha256:{model.fingerprint}"

    def __call__(self, audio, lengths):
        return self.audio_encoder.speaker_embedding(self.audio_encoder.features(audio, lengths))


class SpeakerVerifier:
    """Says whether clips are of one speaker, by the cosine of their embeddings.

    Args:
        encoder: ``encoder(audio, lengths)`` gives ``(batch, dim)``; it has a ``provenance``
            and, where its audio is not at 16 kHz, a ``sample_rate``.
        threshold: for :meth:`verify`; see :class:`Threshold`.
        trim_silences: cut long silences out of every clip first, as Resemblyzer's upstream
            does (needs ``webrtcvad``). None does what the threshold was measured with.

    Raises:
        WeightsError: the encoder's weights are random.
        ConfigError: silences cannot be trimmed.
    """

    def __init__(self, encoder, threshold: Threshold | None = None, trim_silences=None):
        if encoder.provenance == RANDOM:
            raise WeightsError("the speaker encoder has random weights; load pretrained ones.")
        self.encoder = encoder
        self.threshold = threshold
        self.sample_rate = getattr(encoder, "sample_rate", SPEAKER_RATE)
        if trim_silences is None:
            trim_silences = threshold is not None and threshold.trimmed
        self.trim_silences = bool(trim_silences)
        if self.trim_silences:
            _require_detector(self.sample_rate)
        if threshold is not None:
            self._compare(threshold)
        # Autograph would wrap a layer's own sentence in a trace of the user's code.
        self._encode = tf.function(
            lambda audio, lengths: encoder(audio, lengths),
            input_signature=[tf.TensorSpec((None, None)), tf.TensorSpec((None,), "int32")],
            autograph=False,
        )

    @classmethod
    def from_pretrained(
        cls, encoder_type: str, path: str | Path | None = None, trim_silences: bool | None = None
    ) -> SpeakerVerifier:
        """Verifier with a pretrained encoder and, where one is shipped, its threshold.

        Args:
            encoder_type: one of ``myxtts.config.ENCODER_NAMES``.
            path: the upstream's weights; found as
                :func:`~myxtts.weights.speaker_encoders.load_pretrained_speaker_encoder` says.
            trim_silences: as the class says; None does what the encoder's upstream does.

        Raises:
            ConfigError: there is no such encoder, or it was not trained to tell speakers apart.
            WeightsError: the weights are not there.
        """
        if trim_silences is None:
            trim_silences = encoder_type == "resemblyzer"
        encoder = pretrained_speaker_encoder(encoder_type, path)
        if not getattr(encoder.sizes, "head", True):
            raise ConfigError(
                f"{encoder_type} has no speaker head: a mean over its frames tells speakers apart "
                "badly. wavlm-base-sv and wavlm-base-plus-sv have one."
            )
        threshold = shipped_threshold(encoder_type, encoder.provenance, trim_silences)
        return cls(encoder, threshold, trim_silences)

    @classmethod
    def from_preset(cls, folder: str | Path) -> SpeakerVerifier:
        """Verifier with a preset's own embedding and the threshold stored beside it.

        Args:
            folder: of an XTTS, whose projected embedding is taken, or of a speaker encoder.

        Raises:
            CheckpointError: the folder is no preset.
        """
        own = kind_of(folder) == KIND
        encoder = PretrainedSpeakerEncoder.from_preset(folder) if own else PresetEncoder(folder)
        return cls(encoder, preset_threshold(folder, encoder.provenance))

    def _compare(self, threshold: Threshold) -> None:
        """Warn of a threshold that was measured with something else."""
        if not threshold.fits(self.provenance) or threshold.trimmed != self.trim_silences:
            logger.warning(
                "the threshold was measured with %s, silences %s; it may not hold here.",
                threshold.provenance,
                "trimmed" if threshold.trimmed else "kept",
            )

    @property
    def provenance(self) -> str:
        """Where the encoder's weights came from."""
        return self.encoder.provenance

    def embed(self, clips: Clip | Sequence[Clip], batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Embeddings ``(clips, dim)`` of length one, float32.

        Args:
            clips: one clip or several; each an audio file of any rate, or a float array
                ``(samples,)`` at ``sample_rate``.
            batch_size: clips of similar length that are embedded together.

        Raises:
            AudioError: a clip cannot be read, is silent or is shorter than 0.1 s.
        """
        if isinstance(clips, (str, Path)) or (isinstance(clips, np.ndarray) and clips.ndim == 1):
            clips = [clips]
        if not len(clips):
            raise AudioError("no clip was given.")
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, not {batch_size}.")
        order = sorted(range(len(clips)), key=lambda index: self._seconds(clips[index]))
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        rows = [
            self._embed_batch([self._read(clips[index]) for index in batch])
            for batch in tqdm(batches, desc="embedding", unit="batch", delay=2, disable=None)
        ]
        return np.concatenate(rows)[np.argsort(order)]

    def enroll(self, clips: Clip | Sequence[Clip]) -> np.ndarray:
        """Centroid ``(dim,)`` of a speaker's clips, of length one."""
        return _unit(self.embed(clips).mean(axis=0))

    def verify(self, enrolled: np.ndarray, clip: Clip) -> Verification:
        """Decide whether ``clip`` is of the speaker enrolled as ``(dim,)``.

        Raises:
            ConfigError: there is no threshold, or the voice was enrolled with another encoder.
        """
        if self.threshold is None:
            raise ConfigError(
                f"no threshold has been measured for {self.provenance}; measure one with "
                "`myxtts verify --trials FILE --save-threshold`, and load it with "
                "Threshold.load(path)."
            )
        embedding = self.embed(clip)[0]
        if np.shape(enrolled) != embedding.shape:
            raise ConfigError(
                f"the enrolled voice has shape {np.shape(enrolled)}, this encoder's embeddings "
                f"have {embedding.shape}; enrol it with the same encoder."
            )
        score = float(_unit(enrolled) @ embedding)
        value = self.threshold.value
        return Verification(score=score, threshold=value, accepted=score >= value)

    def similarity_matrix(
        self,
        first: np.ndarray | Clip | Sequence[Clip],
        second: np.ndarray | Clip | Sequence[Clip] | None = None,
    ) -> np.ndarray:
        """Cosines ``(n, m)`` of every first clip with every second; of the first if None.

        Args:
            first: clips as for :meth:`embed`, or embeddings ``(n, dim)`` that it returned.
            second: the same.
        """
        one = self._embeddings(first)
        other = one if second is None else self._embeddings(second)
        return np.clip(one @ other.T, -1.0, 1.0)

    def _embeddings(self, items) -> np.ndarray:
        if isinstance(items, np.ndarray) and items.ndim == 2:
            return _unit(items)
        return self.embed(items)

    def _embed_batch(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        return _unit(np.asarray(self._encode(*padded(clips))))

    def _seconds(self, clip: Clip) -> float:
        """Length by which clips are put together; 0 for a file that reading will refuse."""
        if not isinstance(clip, (str, Path)):
            return len(clip) / self.sample_rate
        return duration(clip)

    def _read(self, clip: Clip) -> np.ndarray:
        name = "the audio array"
        if isinstance(clip, (str, Path)):
            name = str(clip)
            clip, _ = read_audio(clip, self.sample_rate, longest=LONGEST_SECONDS)
        clip = np.asarray(clip, "float32")
        if clip.ndim != 1 or not np.isfinite(clip).all():
            raise AudioError(
                f"{name} must be one row of finite samples; its shape is {clip.shape}."
            )
        check_samples(clip, name)
        if len(clip) < MIN_SECONDS * self.sample_rate:
            raise AudioError(
                f"{name} lasts {len(clip) / self.sample_rate:.3f} s; "
                f"at least {MIN_SECONDS} s are needed."
            )
        if not clip.any():
            raise AudioError(f"{name} is silent.")
        return trim_long_silences(clip) if self.trim_silences else clip


def trim_long_silences(audio: np.ndarray) -> np.ndarray:
    """Cut silences out of float ``(samples,)`` at 16 kHz, as Resemblyzer's ``preprocess_wav``.

    Volume is raised to -30 dBFS first. WebRTC's detector judges windows of 30 ms; they
    are kept near a majority of speech. A clip in which no speech is found stays whole.

    Raises:
        ConfigError: ``webrtcvad`` is not installed.
    """
    rms = np.sqrt(np.mean(np.square(audio)))
    audio = audio * np.maximum(10 ** (TARGET_DBFS / 20) / max(rms, 1e-10), 1).astype("float32")
    kept = kept_windows(speech_flags(audio))
    return windows_of(audio)[kept].ravel() if kept.any() else audio


def _require_detector(sample_rate: int) -> None:
    if sample_rate != SPEAKER_RATE:
        raise ConfigError(f"silences can be trimmed at {SPEAKER_RATE} Hz only, not {sample_rate}.")
    voice_detector()


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, "float32")
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
