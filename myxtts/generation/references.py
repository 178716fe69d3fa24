"""Reference recordings as the conditioning wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from keras import ops

from myxtts.audio.io import audio_files, check_samples, read_audio
from myxtts.config import SynthesisConfig
from myxtts.errors import AudioError
from myxtts.timing import MODEL_RATE

# Coqui's: a shorter chunk of reference tells nothing.
MIN_CHUNK_SECONDS = 0.33
MIN_REFERENCE_SECONDS = 0.3
# To the millisecond: resampling may take or give a sample.
LEAST_SAMPLES = math.ceil((MIN_REFERENCE_SECONDS - 0.0005) * MODEL_RATE)
TOO_SHORT = f"a reference needs at least {MIN_REFERENCE_SECONDS} s"
REFERENCE_PEAK = 0.75


def used_samples(settings: SynthesisConfig) -> int:
    """Samples at 22.05 kHz of each reference that are used."""
    return int(settings.max_ref_length * MODEL_RATE)


def silent_peak(silence_db: float) -> float:
    """The peak below which audio is silent."""
    return 10 ** (silence_db / 20)


def at_reference_level(audio, peak, settings: SynthesisConfig):
    """``audio`` brought to a peak of 0.75, if the settings ask for it."""
    return audio * (REFERENCE_PEAK / peak) if settings.sound_norm_refs else audio


def chunk_size(settings: SynthesisConfig) -> int:
    """Samples of the chunks whose latents are averaged."""
    return int(settings.gpt_cond_chunk_len * MODEL_RATE)


def heard_samples(samples, settings: SynthesisConfig):
    """Samples that the GPT hears of as many of joined references, int ``(batch,)``."""
    longest = settings.gpt_cond_len
    return ops.minimum(samples, int(longest * MODEL_RATE)) if longest else samples


def chunk_lengths(samples, count, settings: SynthesisConfig):
    """Samples that each of ``count`` chunks has of its own, int ``(batch, count)``.

    Args:
        samples: int ``(batch,)``, that are cut into chunks.
        count: chunks there are.
        settings: how long chunks are.
    """
    size = chunk_size(settings)
    return ops.clip(samples[:, None] - size * ops.arange(count), 0, size)


def heard_chunks(lengths, peaks, silence_db: float, settings: SynthesisConfig):
    """Which chunks' latents are averaged, bool ``(batch, count)``; one of each row at least.

    One that is too short is left out, unless it is the only one, as are silent ones: the mean
    with the latents of silence would be less of a voice. Coqui keeps the silent ones.

    Args:
        lengths: of :func:`chunk_lengths`.
        peaks: float ``(batch, count)``, largest absolute sample of each chunk.
        silence_db: a peak below is silence, in dBFS.
        settings: whether to do as Coqui does.
    """
    first = ops.equal(ops.arange(ops.shape(lengths)[1]), 0)
    heard = ops.logical_or(lengths >= math.ceil(MIN_CHUNK_SECONDS * MODEL_RATE), first)
    if settings.coqui_compatible:
        return heard
    loud = ops.logical_and(heard, peaks >= silent_peak(silence_db))
    return ops.where(ops.any(loud, axis=1, keepdims=True), loud, heard)


def reference_files(references: Sequence) -> list:
    """References with the audio files of each folder among them in its place.

    Raises:
        AudioError: a folder holds none.
    """
    found: list = []
    for item in references:
        is_folder = isinstance(item, (str, Path)) and Path(item).expanduser().is_dir()
        found += audio_files(Path(item).expanduser()) if is_folder else [item]
    return found


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
    used = used_samples(settings)
    if isinstance(reference, (str, Path)):
        name = str(reference)
        clip, _ = read_audio(reference, MODEL_RATE, settings.max_ref_length)
    else:
        name = "the reference array"
        clip = _checked(reference, name)[:used]
    if len(clip) < LEAST_SAMPLES:
        raise AudioError(f"{name} lasts {len(clip) / MODEL_RATE:.3g} s; {TOO_SHORT}.")
    peak = np.max(np.abs(clip))
    if peak < silent_peak(silence_db):
        where = f" in its first {settings.max_ref_length:g} s, of which the voice is made"
        raise AudioError(f"{name} is silent{where if len(clip) >= used else ''}.")
    return at_reference_level(clip, peak, settings)


def reference_chunks(
    clips: Sequence[np.ndarray], settings: SynthesisConfig, silence_db: float
) -> list[np.ndarray]:
    """References ``(samples,)`` joined and cut into the chunks whose latents are averaged."""
    joined, size = np.concatenate(clips), chunk_size(settings)
    samples = np.asarray(heard_samples(np.array([len(joined)], "int32"), settings))
    starts = range(0, int(samples[0]), size)
    lengths = np.asarray(chunk_lengths(samples, len(starts), settings))
    chunks = [joined[start:][:length] for start, length in zip(starts, lengths[0], strict=True)]
    peaks = np.array([[np.max(np.abs(chunk), initial=0) for chunk in chunks]])
    heard = np.asarray(heard_chunks(lengths, peaks, silence_db, settings))
    return [chunk for chunk, counts in zip(chunks, heard[0], strict=True) if counts]


def _checked(audio: np.ndarray, name: str) -> np.ndarray:
    """``audio`` as float32, where it is one row of finite float samples."""
    audio = np.asarray(audio)
    if audio.ndim != 1 or not np.issubdtype(audio.dtype, np.floating):
        raise AudioError(
            f"{name} must be float (samples,), not {audio.dtype} of shape {audio.shape}."
        )
    check_samples(audio, name)
    return audio.astype("float32")
