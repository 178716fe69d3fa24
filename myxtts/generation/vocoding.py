"""Audio codes to waveforms without the decoder (DVAE, mel, Griffin-Lim), and their speed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.griffin_lim import griffin_lim
from myxtts.audio.io import resample
from myxtts.audio.mel import MelSpectrogram
from myxtts.errors import ConfigError, NotFiniteError
from myxtts.models.hifigan import interpolate, scaled_length
from myxtts.timing import OUTPUT_RATE

if TYPE_CHECKING:
    from myxtts.models.xtts import XTTS

logger = logging.getLogger(__name__)

GRIFFIN_LIM = "griffin_lim"
# Coqui's: slower is taken for this.
SLOWEST = 0.05


def lacks_dvae(trained_steps: dict[str, int]) -> bool:
    """Whether a model was converted without its DVAE, whose weights are then no trained ones."""
    return bool(trained_steps.get("gpt")) and not trained_steps.get("dvae")


def choose_vocoder(model: XTTS, wanted: str) -> str:
    """Resolve ``auto`` by what the decoder stage measured, and say so.

    Args:
        model: its ``decoder.vocoder``, ``trained_steps`` and ``vocoder_errors`` are asked.
        wanted: a vocoder or ``auto``.

    Raises:
        ConfigError: a decoder is wanted that the model has not, or has never trained, or
            Griffin-Lim of a model without its DVAE.
    """
    trained, errors = model.trained_steps.get("decoder", 0) > 0, model.vocoder_errors
    own = model.decoder.vocoder
    if wanted not in ("auto", GRIFFIN_LIM, own):
        raise ConfigError(f"--vocoder {wanted}: the decoder of this checkpoint is {own}.")
    if wanted == own and not trained:
        raise ConfigError(f"--vocoder {own}: the decoder of this checkpoint has not been trained.")
    if wanted == GRIFFIN_LIM and lacks_dvae(model.trained_steps):
        raise ConfigError(
            "--vocoder griffin_lim: this model was converted without its dvae.pth, which it needs."
        )
    if wanted != "auto":
        return wanted
    if not trained:
        logger.info("vocoder: griffin_lim (the decoder stage has not been trained)")
        return GRIFFIN_LIM
    if not errors:
        # A converted model: its decoder was trained elsewhere.
        return own
    chosen = min(errors, key=errors.get)
    told = ", ".join(f"{name} {error:.2f}" for name, error in errors.items())
    logger.info("vocoder: %s (mel error on validation speech: %s)", chosen, told)
    return chosen


def codes_to_mel(model: XTTS, codes: np.ndarray) -> np.ndarray:
    """Log-mel ``(frames, n_mels)``, un-normalised, of audio codes ``(length,)``."""
    mel = np.asarray(model.dvae.decode(np.asarray(codes, "int32")[None])[0], "float32")
    return mel * np.asarray(model.mel_norm.mel_stats)


def length_scale(speed: float) -> float:
    """How much longer a sequence is to be for speech at ``speed``."""
    return 1.0 / max(speed, SLOWEST)


def stretched(frames, speed: float):
    """Frames ``(batch, length, dim)`` for speech at ``speed``: at least one of them.

    They are interpolated in time as Coqui's ``inference(speed=...)`` does, so that the
    pitch stays.
    """
    scale = length_scale(speed)
    if scale == 1:
        return frames
    return interpolate(frames, scale) if scaled_length(frames.shape[1], scale) else frames[:, :1]


def bounded(waveform: np.ndarray) -> np.ndarray:
    """What a model made, float32 ``(samples,)``, in [-1, 1].

    Raises:
        NotFiniteError: a sample is NaN or infinite.
    """
    if not np.isfinite(waveform).all():
        raise NotFiniteError(
            "the model made samples that are NaN or infinite: its weights or the voice are damaged."
        )
    return np.clip(waveform, -1.0, 1.0)


def codes_to_waveform(model: XTTS, codes: np.ndarray, speed: float = 1.0) -> np.ndarray:
    """24 kHz waveform ``(samples,)`` of audio codes ``(length,)``, spoken at ``speed``."""
    mel = np.asarray(stretched(codes_to_mel(model, codes)[None], speed))[0]
    wave = griffin_lim(mel, XTTS_DVAE)
    # Resampling may overshoot the peak.
    return np.clip(resample(wave, XTTS_DVAE.sample_rate, OUTPUT_RATE), -1.0, 1.0)


def waveform_round_trip(model: XTTS, audio: np.ndarray) -> np.ndarray:
    """The ceiling of what the codes can carry: audio to codes and back.

    Args:
        audio: float32 ``(samples,)`` at 22.05 kHz.

    Returns:
        Float32 ``(samples,)`` at 24 kHz.
    """
    mel = model.mel_norm(MelSpectrogram(XTTS_DVAE)(audio[None]))
    return codes_to_waveform(model, np.asarray(model.dvae.encode(mel)[0]))
