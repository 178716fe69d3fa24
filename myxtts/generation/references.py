"""Reference recordings as the conditioning wants them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from myxtts.audio.io import read_audio
from myxtts.config import SynthesisConfig
from myxtts.errors import AudioError
from myxtts.timing import MODEL_RATE

# Coqui's: a shorter chunk of reference tells nothing.
MIN_CHUNK_SECONDS = 0.33
MIN_REFERENCE_SECONDS = 0.3
REFERENCE_PEAK = 0.75


def read_reference(
    reference: str | Path | np.ndarray, settings: SynthesisConfig, silence_db: float
) -> np.ndarray:
    """Float32 samples ``(samples,)`` at 22.05 kHz of one reference, as much as is used.

    Args:
        reference: audio file, or float array ``(samples,)`` at 22.05 kHz.
        settings: how much is used, and whether its peak is brought to 0.75.
        silence_db: a peak below is silence, in dBFS.

    Raises:
        AudioError: the reference cannot be read, is silent or is shorter than 0.3 s.
    """
    used = settings.max_ref_length
    if isinstance(reference, (str, Path)):
        name = str(reference)
        clip, _ = read_audio(reference, MODEL_RATE, used)
    else:
        name = "the reference array"
        clip = _checked(reference, name)[: int(used * MODEL_RATE)]
    # To the millisecond: resampling may take or give a sample.
    seconds = round(len(clip) / MODEL_RATE, 3)
    if seconds < MIN_REFERENCE_SECONDS:
        raise AudioError(
            f"{name} lasts {seconds} s; a reference needs at least {MIN_REFERENCE_SECONDS} s."
        )
    if is_silent(clip, silence_db):
        whole = len(clip) < int(used * MODEL_RATE)
        where = "" if whole else f" in its first {used:g} s, of which the voice is made"
        raise AudioError(f"{name} is silent{where}.")
    peak = np.max(np.abs(clip))
    return clip * np.float32(REFERENCE_PEAK / peak) if settings.sound_norm_refs else clip


def reference_chunks(
    clips: Sequence[np.ndarray], settings: SynthesisConfig, silence_db: float
) -> list[np.ndarray]:
    """References ``(samples,)`` joined and cut into the chunks whose latents are averaged.

    A last chunk that is too short is left out, as are silent ones: the mean with the
    latents of silence would be less of a voice. Coqui keeps the silent ones.
    """
    joined = np.concatenate(clips)
    if settings.gpt_cond_len:
        joined = joined[: int(settings.gpt_cond_len * MODEL_RATE)]
    size = int(settings.gpt_cond_chunk_len * MODEL_RATE)
    chunks = [joined[start : start + size] for start in range(0, len(joined), size)]
    heard = [chunk for chunk in chunks if len(chunk) >= MIN_CHUNK_SECONDS * MODEL_RATE] or chunks[
        :1
    ]
    if settings.coqui_compatible:
        return heard
    return [chunk for chunk in heard if not is_silent(chunk, silence_db)] or heard


def is_silent(clip: np.ndarray, silence_db: float) -> bool:
    """Whether the peak of ``(samples,)`` is below ``silence_db`` dBFS."""
    return float(np.max(np.abs(clip))) < 10 ** (silence_db / 20)


def _checked(audio: np.ndarray, name: str) -> np.ndarray:
    """``audio`` as float32, where it is one row of finite float samples."""
    audio = np.asarray(audio)
    if audio.ndim != 1 or not np.issubdtype(audio.dtype, np.floating):
        raise AudioError(
            f"{name} must be float (samples,), not {audio.dtype} of shape {audio.shape}."
        )
    if not np.isfinite(audio).all():
        raise AudioError(f"{name} holds samples that are NaN or infinite.")
    return audio.astype("float32")
