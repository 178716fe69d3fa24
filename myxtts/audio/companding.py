"""Waveforms as classes and back (mu-law, ITU-T G.711), and pre-emphasis; all in numpy."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter


def encode_mu_law(audio: np.ndarray, classes: int) -> np.ndarray:
    """Samples in [-1, 1] as the integers 0 to ``classes - 1``, nearest in mu-law."""
    mu = classes - 1
    value = np.sign(audio) * np.log(1 + mu * np.abs(audio)) / np.log(1 + mu)
    return np.floor((value + 1) / 2 * mu + 0.5).astype("int64")


def decode_mu_law(values: np.ndarray, classes: int) -> np.ndarray:
    """Mu-law values in [-1, 1] (classes by :func:`from_classes`) as samples in [-1, 1]."""
    mu = classes - 1
    return np.sign(values) / mu * ((1 + mu) ** np.abs(values) - 1)


def encode_linear(audio: np.ndarray, bits: int) -> np.ndarray:
    """Samples in [-1, 1] on the scale 0 to ``2**bits - 1``; not rounded."""
    return (audio + 1.0) * (2**bits - 1) / 2


def from_classes(classes: np.ndarray, bits: int) -> np.ndarray:
    """Integers 0 to ``2**bits - 1`` as values in [-1, 1]."""
    return 2 * classes / (2**bits - 1.0) - 1.0


def preemphasised(audio: np.ndarray, coefficient: float) -> np.ndarray:
    """``y[t] = x[t] - c x[t - 1]``, with nothing before the first sample."""
    return lfilter([1, -coefficient], [1], audio) if coefficient else audio


def deemphasised(audio: np.ndarray, coefficient: float) -> np.ndarray:
    """The inverse of :func:`preemphasised`."""
    return lfilter([1], [1, -coefficient], audio) if coefficient else audio
