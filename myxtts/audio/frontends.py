"""Mel front-end specifications: one for each model that hears, and no second copy.

The figures are those of the reference implementations: Coqui's XTTS-v2 (its
conditioning, its DVAE and its speaker encoder), SpeechBrain's ECAPA-TDNN and Resemblyzer.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Literal

import librosa
import numpy as np


@dataclass(frozen=True)
class MelSpec:
    """How a waveform becomes a mel spectrogram.

    Attributes:
        sample_rate: of the waveform, in Hz.
        n_fft, win_length, hop_length: in samples; a shorter window is centred in the FFT frame.
        n_mels: mel channels between ``f_min`` and ``f_max`` Hz.
        window: periodic ``hann`` or ``hamming``.
        mel_scale: ``htk`` or ``slaney`` spacing of the channels.
        mel_norm: ``slaney`` makes every triangle's area one; None leaves its peak at one.
        symmetric: both slopes of a triangle are as wide as its lower one (SpeechBrain).
        compression: ``clip`` is log(max(x, eps)), ``offset`` is log(x + eps), ``decibel`` is
            10 log10(max(x, eps)), None keeps the power.
        eps: of the compression.
        top_db: values further below the utterance's loudest are raised to it; None for never.
        preemphasis: coefficient of y[t] = x[t] - c * x[t - 1]; 0 for none.
        pad_mode: how the signal is padded by ``n_fft // 2`` on both sides.
    """

    sample_rate: int
    n_fft: int
    win_length: int
    hop_length: int
    n_mels: int
    f_min: float = 0.0
    f_max: float = 8000.0
    window: Literal["hann", "hamming"] = "hann"
    mel_scale: Literal["htk", "slaney"] = "htk"
    mel_norm: Literal["slaney"] | None = "slaney"
    symmetric: bool = False
    compression: Literal["clip", "offset", "decibel"] | None = "clip"
    eps: float = 1e-5
    top_db: float | None = None
    preemphasis: float = 0.0
    pad_mode: Literal["reflect", "constant"] = "reflect"

    def num_frames(self, samples: int) -> int:
        """Frames of a waveform of ``samples`` samples."""
        return 1 + samples // self.hop_length


XTTS_CONDITIONING = MelSpec(22_050, n_fft=2048, win_length=1024, hop_length=256, n_mels=80)
XTTS_DVAE = MelSpec(22_050, n_fft=1024, win_length=1024, hop_length=256, n_mels=80)
COQUI_SPEAKER = MelSpec(
    16_000,
    n_fft=512,
    win_length=400,
    hop_length=160,
    n_mels=64,
    window="hamming",
    mel_norm=None,
    compression="offset",
    eps=1e-6,
    preemphasis=0.97,
)
SPEECHBRAIN_ECAPA = MelSpec(
    16_000,
    n_fft=400,
    win_length=400,
    hop_length=160,
    n_mels=80,
    window="hamming",
    mel_norm=None,
    symmetric=True,
    compression="decibel",
    eps=1e-10,
    top_db=80.0,
    pad_mode="constant",
)
RESEMBLYZER = MelSpec(
    16_000,
    n_fft=400,
    win_length=400,
    hop_length=160,
    n_mels=40,
    mel_scale="slaney",
    compression=None,
    pad_mode="constant",
)


@functools.cache
def analysis_window(spec: MelSpec) -> np.ndarray:
    """Window of ``spec`` padded to ``(n_fft,)`` float32, centred."""
    window = librosa.filters.get_window(spec.window, spec.win_length, fftbins=True)
    return librosa.util.pad_center(window, size=spec.n_fft).astype("float32")


@functools.cache
def mel_filterbank(spec: MelSpec) -> np.ndarray:
    """Triangular filters ``(n_fft // 2 + 1, n_mels)`` float32."""
    if spec.symmetric:
        return _symmetric_filterbank(spec)
    filters = librosa.filters.mel(
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.f_min,
        fmax=spec.f_max,
        htk=spec.mel_scale == "htk",
        norm=spec.mel_norm,
        dtype=np.float64,
    )
    return filters.T.astype("float32")


def _symmetric_filterbank(spec: MelSpec) -> np.ndarray:
    edges = librosa.mel_frequencies(
        spec.n_mels + 2, fmin=spec.f_min, fmax=spec.f_max, htk=spec.mel_scale == "htk"
    )
    bins = np.linspace(0, spec.sample_rate // 2, spec.n_fft // 2 + 1)
    slopes = np.abs(bins[:, None] - edges[None, 1:-1]) / np.diff(edges)[:-1]
    return np.maximum(0.0, 1.0 - slopes).astype("float32")


def spec_dict(spec: MelSpec) -> dict:
    """Plain dictionary of a specification."""
    return dataclasses.asdict(spec)
