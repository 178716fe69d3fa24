"""Discriminators of waveforms: multi-period, multi-scale and multi-resolution.

The first two are HiFi-GAN's (Kong et al. 2020); the third is UnivNet's (Jang et al. 2021), made
light.

Used by the ``decoder`` training stage only.
"""

from __future__ import annotations

from keras import ops

from myxtts.audio.stft import power_spectrum
from myxtts.models.layer import Conv1D, Conv2D, Layer

LEAK = 0.1
PERIODS = (2, 3, 5, 7, 11)
SCALES = 3
RESOLUTIONS = (512, 1024, 2048)
# Steps over the bins of a spectrum; the published judge moves by one, two, two and two.
BIN_STRIDES = (4, 2, 2, 2)
# Added to magnitudes whose logarithm is taken: what is fainter is silence.
FAINT = 1e-3


class _Judges(Layer):
    """Several discriminators of one waveform ``(batch, samples, 1)``."""

    judges: list

    def build(self, input_shape=None):
        for judge in self.judges:
            judge.build((None, None, 1))
        self.built = True


class MultiPeriodDiscriminator(_Judges):
    """Judges a waveform folded at several periods.

    Args:
        channels: factor on the channels of the original, for small models.
        periods: in samples.
    """

    def __init__(self, channels: float = 1.0, periods=PERIODS, name="multi_period", **kwargs):
        super().__init__(name=name, **kwargs)
        self.judges = [
            PeriodDiscriminator(period, channels, name=f"period_{period}") for period in periods
        ]

    def call(self, waveform) -> list:
        """``[(score, features), ...]`` of a waveform ``(batch, samples, 1)``."""
        return [judge(waveform) for judge in self.judges]


class MultiScaleDiscriminator(_Judges):
    """Judges a waveform and smoothed, halved versions of it.

    Args:
        channels: factor on the channels of the original, for small models.
        scales: how many versions.
    """

    def __init__(self, channels: float = 1.0, scales: int = SCALES, name="multi_scale", **kwargs):
        super().__init__(name=name, **kwargs)
        self.judges = [ScaleDiscriminator(channels, name=f"scale_{i}") for i in range(scales)]

    def call(self, waveform) -> list:
        """``[(score, features), ...]`` of a waveform ``(batch, samples, 1)``."""
        outputs = []
        for judge in self.judges:
            outputs.append(judge(waveform))
            waveform = ops.average_pool(waveform, 4, strides=2, padding="same")
        return outputs


class MultiResolutionDiscriminator(_Judges):
    """Judges magnitude spectra of several resolutions.

    Args:
        channels: factor on the channels of the original, for small models.
        resolutions: sizes of the spectra in samples.
    """

    def __init__(
        self, channels: float = 1.0, resolutions=RESOLUTIONS, name="multi_resolution", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self.judges = [
            SpectrumDiscriminator(size, channels, name=f"spectrum_{size}") for size in resolutions
        ]

    def call(self, waveform) -> list:
        """``[(score, features), ...]`` of a waveform ``(batch, samples, 1)``."""
        return [judge(waveform) for judge in self.judges]


class _ConvStack(Layer):
    """Convolutions with leaky rectifiers; returns the score and all features."""

    convs: list

    def build(self, input_shape):
        channels = 1
        for conv in self.convs:
            conv.build((None,) * (conv.rank + 1) + (channels,))
            channels = conv.filters
        self.built = True

    def _run(self, hidden):
        features = []
        for conv in self.convs[:-1]:
            hidden = ops.leaky_relu(conv(hidden), negative_slope=LEAK)
            features.append(hidden)
        score = self.convs[-1](hidden)
        return score, [*features, score]


class PeriodDiscriminator(_ConvStack):
    """Convolves along rows of samples that lie ``period`` apart."""

    def __init__(self, period: int, channels: float, **kwargs):
        super().__init__(**kwargs)
        self.period = period
        widths = [_width(size, channels) for size in (32, 128, 512, 1024, 1024)]
        strides = (3, 3, 3, 3, 1)
        self.convs = [
            Conv2D(width, (5, 1), strides=(stride, 1), padding="same", name=f"conv_{i}")
            for i, (width, stride) in enumerate(zip(widths, strides, strict=True))
        ]
        self.convs.append(Conv2D(1, (3, 1), padding="same", name="score"))

    def call(self, waveform):
        samples = ops.shape(waveform)[1]
        missing = (self.period - samples % self.period) % self.period
        padded = ops.pad(waveform, [[0, 0], [0, missing], [0, 0]])
        rows = (samples + missing) // self.period
        return self._run(ops.reshape(padded, (-1, rows, self.period, 1)))


class SpectrumDiscriminator(_ConvStack):
    """Convolves over time and frequency of log-magnitude spectra of ``n_fft`` samples.

    The first step over the frequencies is wider than UnivNet's, which saves three quarters of
    the work.
    """

    def __init__(self, n_fft: int, channels: float, **kwargs):
        super().__init__(**kwargs)
        self.n_fft = n_fft
        width = _width(32, channels, 4)
        self.convs = [
            Conv2D(width, (3, 9), strides=(1, stride), padding="same", name=f"conv_{i}")
            for i, stride in enumerate(BIN_STRIDES)
        ]
        self.convs.append(Conv2D(width, 3, padding="same", name="conv_last"))
        self.convs.append(Conv2D(1, 3, padding="same", name="score"))

    def call(self, waveform):
        power = power_spectrum(waveform[..., 0], self.n_fft, self.n_fft // 4)
        # The root's slope is infinite at nothing.
        spectrum = ops.log(FAINT + ops.sqrt(power + FAINT**2))
        return self._run(ops.cast(spectrum[..., None], self.compute_dtype))


class ScaleDiscriminator(_ConvStack):
    """Strided convolutions over the waveform, most of them grouped."""

    def __init__(self, channels: float, **kwargs):
        super().__init__(**kwargs)
        sizes = (
            (128, 15, 1, 1),
            (128, 41, 2, 4),
            (256, 41, 2, 16),
            (512, 41, 4, 16),
            (1024, 41, 4, 16),
            (1024, 41, 1, 16),
            (1024, 5, 1, 1),
        )
        self.convs = [
            Conv1D(
                _width(width, channels),
                kernel,
                strides=stride,
                groups=groups,
                padding="same",
                name=f"conv_{i}",
            )
            for i, (width, kernel, stride, groups) in enumerate(sizes)
        ]
        self.convs.append(Conv1D(1, 3, padding="same", name="score"))

    def call(self, waveform):
        return self._run(waveform)


def _width(size: int, factor: float, multiple: int = 16) -> int:
    """Scaled channels, a multiple of 16 so that the groups divide them."""
    return max(multiple, round(size * factor / multiple) * multiple)
