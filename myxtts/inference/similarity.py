"""Speaker-encoder cosine similarity (SECS) of speech to its reference."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from myxtts.audio.io import read_audio, resample
from myxtts.errors import WeightsError
from myxtts.inference.synthesizer import Synthesis
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder

logger = logging.getLogger(__name__)

SAMPLE_RATE = 16_000


def reference_similarity(spoken: Synthesis, references: Sequence[str | Path]) -> float | None:
    """Cosine between Resemblyzer's embeddings of the speech and of its references.

    Returns:
        A number in [-1, 1], or None (and a line in the log) where Resemblyzer's
        weights are not installed.
    """
    encoder = PretrainedSpeakerEncoder("resemblyzer", freeze=True)
    try:
        load_pretrained_speaker_encoder(encoder)
    except WeightsError as error:
        logger.info("similarity to the reference: not measured (%s)", error)
        return None
    own = _embed(encoder, resample(spoken.waveform, spoken.sample_rate, SAMPLE_RATE))
    others = [_embed(encoder, read_audio(item, SAMPLE_RATE)[0]) for item in references]
    return float(np.mean([own @ other for other in others]))


def _embed(encoder: PretrainedSpeakerEncoder, audio: np.ndarray) -> np.ndarray:
    embedding = np.asarray(encoder(audio[None], np.array([len(audio)], "int32"))[0])
    return embedding / np.linalg.norm(embedding)
