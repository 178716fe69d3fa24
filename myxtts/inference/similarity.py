"""Speaker-encoder cosine similarity (SECS) of speech to its reference."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from myxtts.audio.io import resample
from myxtts.errors import WeightsError
from myxtts.verification.verifier import SpeakerVerifier

logger = logging.getLogger(__name__)


def reference_similarity(
    waveform: np.ndarray, sample_rate: int, references: Sequence[str | Path]
) -> float | None:
    """Mean cosine between Resemblyzer's embeddings of the speech and of its references.

    Args:
        waveform: the speech, float32 ``(samples,)``.
        sample_rate: of it, in Hz.
        references: audio files.

    Returns:
        A number in [-1, 1], or None (and a line in the log) where Resemblyzer's
        weights are not installed.
    """
    try:
        verifier = SpeakerVerifier.from_pretrained("resemblyzer", trim_silences=False)
    except WeightsError as error:
        logger.info("similarity to the reference: not measured (%s)", error)
        return None
    speech = resample(waveform, sample_rate, verifier.sample_rate)
    cosines = verifier.similarity_matrix(verifier.embed(speech), list(references))
    return float(np.mean(cosines))
