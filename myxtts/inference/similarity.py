"""Speaker-encoder cosine similarity (SECS) of speech to its reference."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from myxtts.audio.io import resample
from myxtts.errors import WeightsError
from myxtts.inference.synthesizer import Synthesis
from myxtts.verification.verifier import SpeakerVerifier

logger = logging.getLogger(__name__)


def reference_similarity(spoken: Synthesis, references: Sequence[str | Path]) -> float | None:
    """Mean cosine between Resemblyzer's embeddings of the speech and of its references.

    Returns:
        A number in [-1, 1], or None (and a line in the log) where Resemblyzer's
        weights are not installed.
    """
    try:
        verifier = SpeakerVerifier.from_pretrained("resemblyzer", trim_silences=False)
    except WeightsError as error:
        logger.info("similarity to the reference: not measured (%s)", error)
        return None
    speech = resample(spoken.waveform, spoken.sample_rate, verifier.sample_rate)
    cosines = verifier.similarity_matrix(verifier.embed(speech), list(references))
    return float(np.mean(cosines))
