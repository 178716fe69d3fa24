"""Fourier transforms of overlapping frames whose hop divides them, there and back.

Framing and overlap-add are then shifts of whole hops: no gather, no scatter, exact in any order.
A signal of ``frames * hop`` samples has ``frames`` spectra, each centred on its own hop.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from keras import ops


@functools.cache
def hann_window(n_fft: int) -> np.ndarray:
    """Periodic Hann window ``(n_fft,)`` float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype("float32")


def power_spectrum(audio, n_fft: int, hop: int):
    """Power ``(batch, ceil(samples / hop), n_fft // 2 + 1)`` of float ``(batch, samples)``.

    See :func:`spectra_of`.
    """
    real, imaginary = spectra_of(audio, n_fft, hop)
    return ops.square(real) + ops.square(imaginary)


def spectra_of(audio, n_fft: int, hop: int) -> tuple:
    """Real and imaginary parts ``(batch, ceil(samples / hop), n_fft // 2 + 1)`` of a signal.

    Args:
        audio: float ``(batch, samples)``, silent before its start and behind its end.
        n_fft, hop: ``hop`` divides ``n_fft``, with an even difference.
    """
    samples, edge = ops.shape(audio)[1], (n_fft - hop) // 2
    padded = ops.pad(ops.cast(audio, "float32"), [[0, 0], [edge, edge + -samples % hop]])
    count, parts = -(-samples // hop), n_fft // hop
    hops = ops.reshape(padded, (-1, count + parts - 1, hop))
    frames = ops.concatenate([hops[:, part : part + count] for part in range(parts)], axis=2)
    return ops.rfft(frames * ops.convert_to_tensor(hann_window(n_fft)))


def drawn_spectra(hidden, n_fft: int) -> tuple:
    """Real and imaginary parts of spectra that a network makes.

    Args:
        hidden: ``(batch, frames, n_fft + 2)``: logarithms of magnitudes, and phases.
        n_fft: size of the spectra.
    """
    magnitude, phase = ops.split(hidden, 2, axis=-1)
    # No louder than a sine of full scale; an exponential would overflow.
    magnitude = ops.exp(ops.minimum(magnitude, math.log(n_fft / 4)))
    return magnitude * ops.cos(phase), magnitude * ops.sin(phase)


def inverse_stft(real, imaginary, n_fft: int, hop: int, own=None):
    """Signal ``(batch, frames * hop)`` of spectra ``(batch, frames, n_fft // 2 + 1)``.

    Windowed frames are overlapped and added, and what the windows add up to is divided out
    (Griffin & Lim 1984), so that the edges are as loud as the middle.

    Args:
        real, imaginary: parts of the spectra.
        n_fft, hop: ``hop`` divides ``n_fft``, at least twice, with an even difference.
        own: ``(batch, frames, 1)``, zero where a frame is only padding; None: nowhere.
    """
    window = hann_window(n_fft)
    frames = ops.irfft((real, imaginary), n_fft) * ops.convert_to_tensor(window)
    if own is None:
        own = ops.ones_like(real[:1, :, :1])
    weight = _overlap_add(own * ops.convert_to_tensor(window**2), n_fft, hop)
    return _overlap_add(frames * own, n_fft, hop) / ops.maximum(weight, 1e-8)


def _overlap_add(frames, n_fft: int, hop: int):
    count, parts = ops.shape(frames)[1], n_fft // hop
    pieces = [frames[:, :, part * hop : (part + 1) * hop] for part in range(parts)]
    total = sum(
        ops.pad(piece, [[0, 0], [part, parts - 1 - part], [0, 0]])
        for part, piece in enumerate(pieces)
    )
    edge = (n_fft - hop) // 2
    return ops.reshape(total, (-1, (count + parts - 1) * hop))[:, edge : edge + count * hop]
