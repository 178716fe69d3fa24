"""From a synthesizer's mel spectrogram to a waveform, by the vocoder that is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from myxtts.audio.frontends import RTVC_SYNTHESIZER, MelSpec
from myxtts.audio.rtvc_griffin_lim import rtvc_griffin_lim
from myxtts.errors import AudioError, ConfigError
from myxtts.generation.wavernn import Engine, KernelEngine, ModelEngine, Weights, generate
from myxtts.models.mel_hifigan import KIND as HIFIGAN
from myxtts.models.mel_hifigan import MelHifiGan
from myxtts.models.wavernn import WaveRNN
from myxtts.presets.record import MANIFEST, kind_of
from myxtts.vocoder_config import MEL_SCALE, OVERLAP, TARGET
from myxtts.weights import rtvc_vocoder

GRIFFIN_LIM = "griffin_lim"

How = Literal["kernel", "model"]


class Vocoder(Protocol):
    """What makes waveforms of a synthesizer's mels.

    Attributes:
        sample_rate: of the waveforms, in Hz.
        n_mels: channels of the mels.
    """

    sample_rate: int
    n_mels: int

    def vocode(
        self,
        mel: np.ndarray,
        seed: int = 0,
        batched: bool = True,
        target: int = TARGET,
        overlap: int = OVERLAP,
    ) -> np.ndarray:
        """Waveform float32 ``((frames - 1) * hop_length,)`` of a mel ``(n_mels, frames)``.

        Args:
            mel: of a synthesizer, in [-4, 4].
            seed: of what is drawn.
            batched, target, overlap: of a WaveRNN, see
                :func:`myxtts.generation.wavernn.generate`; others have no use for them.

        Raises:
            AudioError: it is no such mel, or too short.
        """


class WaveRNNVocoder:
    """A WaveRNN, on the processor by the compiled loop.

    Args:
        model: built, with trained weights.
        honest: seams of folds keep their level, and the beginning does not fade in.
        weights: that the loop computes with; integers are two to three times faster than float32.
        how: ``model`` for the model itself, a step at a time: slow.
    """

    def __init__(
        self,
        model: WaveRNN,
        honest: bool = True,
        weights: Weights = "float32",
        how: How = "kernel",
    ):
        self.honest, self.sample_rate = honest, model.sizes.sample_rate
        self.n_mels = model.sizes.feat_dims
        self.engine: Engine = (
            KernelEngine(model, weights) if how == "kernel" else ModelEngine(model)
        )

    def vocode(
        self,
        mel: np.ndarray,
        seed: int = 0,
        batched: bool = True,
        target: int = TARGET,
        overlap: int = OVERLAP,
    ) -> np.ndarray:
        """See :meth:`Vocoder.vocode`."""
        wave = generate(
            self.engine,
            _turned(mel) / MEL_SCALE,
            batched=batched,
            target=target,
            overlap=overlap,
            honest=self.honest,
            seed=seed,
        )
        return wave.astype("float32")


class GriffinLimVocoder:
    """No network: phases that fit the mel (Griffin & Lim 1984), which sound metallic.

    Args:
        spec: front-end of the mels.
    """

    def __init__(self, spec: MelSpec = RTVC_SYNTHESIZER):
        self.spec, self.sample_rate, self.n_mels = spec, spec.sample_rate, spec.n_mels

    def vocode(
        self,
        mel: np.ndarray,
        seed: int = 0,
        batched: bool = True,
        target: int = TARGET,
        overlap: int = OVERLAP,
    ) -> np.ndarray:
        """See :meth:`Vocoder.vocode`."""
        frames = _frames(mel, self.n_mels, "Griffin-Lim")
        return rtvc_griffin_lim(frames, self.spec, seed=seed).astype("float32")


class HifiGanVocoder:
    """A HiFi-GAN: all samples at once, and nothing drawn.

    Args:
        model: built, with trained weights.
    """

    def __init__(self, model: MelHifiGan):
        self.model, self.sample_rate = model, model.sizes.sample_rate
        self.n_mels = model.sizes.feat_dims

    def vocode(
        self,
        mel: np.ndarray,
        seed: int = 0,
        batched: bool = True,
        target: int = TARGET,
        overlap: int = OVERLAP,
    ) -> np.ndarray:
        """See :meth:`Vocoder.vocode`."""
        frames = _frames(mel, self.n_mels, "this HiFi-GAN")
        wave = np.asarray(self.model(frames[None] / MEL_SCALE)[0], "float32")
        return np.clip(wave[: (len(frames) - 1) * self.model.sizes.hop_length], -1.0, 1.0)


def open_vocoder(
    name: str | Path, honest: bool = True, weights: Weights = "float32", how: How = "kernel"
) -> Vocoder:
    """The vocoder that ``name`` stands for.

    Args:
        name: ``griffin_lim``, a ``vocoder.pt`` of Real-Time-Voice-Cloning, or the preset or run
            folder of a vocoder.
        honest, weights, how: of a WaveRNN, see :class:`WaveRNNVocoder`.

    Raises:
        ConfigError: there is nothing of that name.
        WeightsError: the file is no vocoder.
        CheckpointError: the folder is no preset of a vocoder.
    """
    if str(name) == GRIFFIN_LIM:
        return GriffinLimVocoder()
    folder = _preset_in(Path(name))
    if folder is not None and kind_of(folder) == HIFIGAN:
        return HifiGanVocoder(MelHifiGan.from_preset(folder))
    return WaveRNNVocoder(open_wavernn(name), honest, weights, how)


def is_wavernn(name: str | Path) -> bool:
    """Whether a name is neither ``griffin_lim`` nor of a HiFi-GAN."""
    folder = _preset_in(Path(name))
    return str(name) != GRIFFIN_LIM and (folder is None or kind_of(folder) != HIFIGAN)


def open_wavernn(name: str | Path) -> WaveRNN:
    """The WaveRNN of a ``vocoder.pt``, or of a preset or run folder; raises as above."""
    path = Path(name)
    if path.is_file():
        return rtvc_vocoder.open_vocoder(path)[0]
    if folder := _preset_in(path):
        return WaveRNN.from_preset(folder)
    raise ConfigError(
        f"no vocoder {name}: a vocoder.pt, the folder of a preset or of a run, or {GRIFFIN_LIM} "
        "is wanted."
    )


def _preset_in(path: Path) -> Path | None:
    """The preset that a folder has or is; None where there is none."""
    places = (path / "preset", path)
    return next((place for place in places if (place / MANIFEST).is_file()), None)


def _turned(mel: np.ndarray) -> np.ndarray:
    """``(frames, n_mels)`` of a mel ``(n_mels, frames)``."""
    mel = np.asarray(mel, "float32")
    if mel.ndim != 2:
        raise AudioError(f"a mel spectrogram has two axes, this one is {mel.shape}.")
    return mel.T


def _frames(mel: np.ndarray, channels: int, whose: str) -> np.ndarray:
    """The same, of at least two frames of ``channels``, for what is called ``whose``."""
    frames = _turned(mel)
    if len(frames) < 2 or frames.shape[1] != channels:
        raise AudioError(
            f"{whose} wants mels of {channels} channels and 2 frames at least, this one is "
            f"{np.shape(mel)}."
        )
    return frames
