"""Mel front-end specifications: one for each model that hears, and no second copy.

The figures are those of the reference implementations: Coqui's XTTS-v2 (its
conditioning, its DVAE and its speaker encoder), SpeechBrain's ECAPA-TDNN, Resemblyzer and
Real-Time-Voice-Cloning (RTVC).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Literal

import librosa
import numpy as np

# Fields that came with RTVC's synthesizer.
LATER = ("first_sample", "spectrum", "limit", "lowest_db", "highest_db")


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
            10 log10(max(x, eps)), ``amplitude`` is 20 log10(max(x, eps)), None keeps the power.
        eps: of the compression.
        top_db: values further below the utterance's loudest are raised to it; None for never.
        preemphasis: coefficient of y[t] = x[t] - c * x[t - 1]; 0 for none.
        first_sample: what stands before the first one there: its reflection x[1], or ``zero``.
        pad_mode: how the signal is padded by ``n_fft // 2`` on both sides.
        spectrum: what the filters weigh: the ``power`` |X|^2 or the ``magnitude`` |X|.
        limit, lowest_db, highest_db: with a ``limit`` above 0 the decibels between the two become
            -limit to limit, and what lies outside is clipped.
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
    compression: Literal["clip", "offset", "decibel", "amplitude"] | None = "clip"
    eps: float = 1e-5
    top_db: float | None = None
    preemphasis: float = 0.0
    first_sample: Literal["reflect", "zero"] = "reflect"
    pad_mode: Literal["reflect", "constant"] = "reflect"
    spectrum: Literal["power", "magnitude"] = "power"
    limit: float = 0.0
    lowest_db: float = -100.0
    highest_db: float = 0.0

    @property
    def silence(self) -> float:
        """The value of every channel where nothing sounds."""
        if self.limit:
            return -self.limit
        if self.compression is None:
            return 0.0
        factor = {"decibel": 10.0, "amplitude": 20.0}.get(self.compression)
        return factor * math.log10(self.eps) if factor else math.log(self.eps)

    def reflected(self) -> MelSpec:
        """The same with reflected padding, as librosa before 0.9 had it."""
        return dataclasses.replace(self, pad_mode="reflect")

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
# RTVC subtracts 20 dB and maps -100 to 0 dB onto -4 to 4: here that is -80 to 20 dB.
RTVC_SYNTHESIZER = MelSpec(
    16_000,
    n_fft=800,
    win_length=800,
    hop_length=200,
    n_mels=80,
    f_min=55.0,
    f_max=7600.0,
    mel_scale="slaney",
    compression="amplitude",
    preemphasis=0.97,
    first_sample="zero",
    pad_mode="constant",
    spectrum="magnitude",
    limit=4.0,
    lowest_db=-80.0,
    highest_db=20.0,
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
    """Plain dictionary of a specification.

    What came later is left out where it is as it was before, so that what is stored of the
    first five stays theirs.
    """
    later = {field.name: field.default for field in dataclasses.fields(spec)
             if field.name in LATER}  # fmt: skip
    values = dataclasses.asdict(spec)
    return {k: v for k, v in values.items() if k not in later or v != later[k]}
