"""StyleTTS2's mel front-end, as its style encoders were trained with it.

Its filterbank is the one that torchaudio builds for 16 kHz when no rate is given, while the
audio has 24 kHz: the filters act on bins, so over real frequencies they reach 12 kHz. What
was trained on that has to be fed with that.
"""

from __future__ import annotations

import functools
import math

import librosa
import numpy as np
import torch

SAMPLE_RATE = 24_000
FILTER_RATE = 16_000
N_FFT, WINDOW, HOP, N_MELS = 2048, 1200, 300, 80
EPSILON, MEAN, SPREAD = 1e-5, -4.0, 4.0
TRIM_DB = 30


def style_mel(audio: torch.Tensor) -> torch.Tensor:
    """Normalised log-mel ``(80, samples // 300 + 1)`` of ``(samples,)`` at 24 kHz, any gradient.

    Args:
        audio: float32 in [-1, 1], more than 1,024 samples (the ends are mirrored).
    """
    window = torch.hann_window(WINDOW, device=audio.device)
    spectrum = torch.stft(
        audio, N_FFT, HOP, WINDOW, window, center=True, pad_mode="reflect", return_complex=True
    )
    power = spectrum.abs() ** 2
    mel = filterbank(FILTER_RATE).to(audio).T @ power
    return (torch.log(EPSILON + mel) - MEAN) / SPREAD


@functools.cache
def filterbank(rate: int) -> torch.Tensor:
    """Triangles ``(1025, 80)`` of peak one, evenly apart on the HTK mel scale up to ``rate / 2``.

    In float32 throughout, since the logarithm shows the last digits of the flattest slopes.
    """
    frequencies = torch.linspace(0, rate // 2, N_FFT // 2 + 1)
    highest = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest, N_MELS + 2) / 2595) - 1)
    widths = edges.diff()
    distance = edges[None] - frequencies[:, None]
    rising = -distance[:, :-2] / widths[:-1]
    falling = distance[:, 2:] / widths[1:]
    return torch.clamp(torch.minimum(rising, falling), min=0)


def trimmed(audio: np.ndarray) -> np.ndarray:
    """``(samples,)`` without what lies 30 dB under the loudest frame at either end."""
    return np.ascontiguousarray(librosa.effects.trim(audio, top_db=TRIM_DB)[0], "float32")
