"""Griffin-Lim inside a graph."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import MelSpec, analysis_window, mel_filterbank
from myxtts.audio.griffin_lim import MAX_LOG_POWER, NNLS_STEPS, PEAK


class GraphGriffinLim(tf.Module):
    """Log-mel ``(frames, n_mels)`` to a waveform ``((frames - 1) * hop_length,)``.

    The algorithm of :func:`myxtts.audio.griffin_lim.griffin_lim`, with other initial phases.

    Args:
        spec: front-end of the log-mels.
        n_iter: phase iterations.
        momentum: of the fast variant (Perraudin et al. 2013).
        seed: of the initial phases.
    """

    def __init__(self, spec: MelSpec, n_iter: int = 60, momentum: float = 0.99, seed: int = 0):
        super().__init__(name="griffin_lim")
        self.spec = spec
        self.n_iter = n_iter
        self.momentum = momentum
        self.seed = seed
        filters = mel_filterbank(spec)
        self.filters = filters
        self.inverse = np.linalg.pinv(filters).astype("float32")
        self.gram = filters @ filters.T
        # Bins that no filter covers (above f_max) carry nothing.
        self.covered = filters.sum(axis=1) > 0
        self.window = analysis_window(spec)

    def __call__(self, log_mel):
        magnitude = tf.complex(tf.sqrt(self._power(log_mel)), 0.0)
        step = tf.constant(self.momentum / (1 + self.momentum), "complex64")

        def improve(iteration, angles, before):
            rebuilt = self._analyse(self._synthesise(magnitude * angles))
            fresh = rebuilt - step * before
            fresh /= tf.cast(tf.abs(fresh) + 1e-16, "complex64")
            return iteration + 1, fresh, rebuilt

        angles = self._phases(tf.shape(magnitude))
        loop = (tf.constant(0), angles, tf.zeros_like(angles))
        _, angles, _ = tf.while_loop(lambda done, *_: done < self.n_iter, improve, loop)
        wave = self._synthesise(magnitude * angles)
        return wave * tf.minimum(1.0, PEAK / tf.maximum(tf.reduce_max(tf.abs(wave)), 1e-9))

    def _power(self, log_mel):
        """Non-negative power ``(frames, bins)`` of it, as ``mel_to_power`` finds it."""
        mel = tf.exp(tf.minimum(log_mel, MAX_LOG_POWER))
        target = tf.matmul(mel, self.filters, transpose_b=True)
        power = tf.maximum(tf.matmul(mel, self.inverse), 1e-10)
        for _ in range(NNLS_STEPS):
            power *= target / tf.maximum(tf.matmul(power, self.gram), 1e-12)
        return tf.where(self.covered, power, 0.0)

    def _phases(self, shape):
        turns = tf.random.stateless_uniform(shape, [self.seed, 0]) * (2 * math.pi)
        return tf.complex(tf.cos(turns), tf.sin(turns))

    def _analyse(self, wave):
        half = self.spec.n_fft // 2
        padded = tf.pad(wave[None], [[0, 0], [half, half]], "REFLECT")[0]
        frames = tf.signal.frame(padded, self.spec.n_fft, self.spec.hop_length)
        return tf.signal.rfft(frames * self.window)

    def _synthesise(self, spectrum):
        hop, half = self.spec.hop_length, self.spec.n_fft // 2
        frames = tf.signal.irfft(spectrum, [self.spec.n_fft]) * self.window
        weight = tf.zeros_like(frames) + self.window**2
        joined = tf.signal.overlap_and_add(frames, hop)
        joined /= tf.maximum(tf.signal.overlap_and_add(weight, hop), 1e-8)
        return joined[half:-half]
