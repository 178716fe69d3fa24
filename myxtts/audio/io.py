"""Reading, resampling and writing audio files."""

from __future__ import annotations

import functools
import importlib
import io
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr

from myxtts.errors import AudioError, NotFiniteError
from myxtts.files import check_writable, replacing, writable_folder

logger = logging.getLogger(__name__)

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
# Read by the same decoder, and not written.
_ALSO_READ = (".opus", ".aiff", ".aif", ".au", ".caf")
# The resampling filter does not reach so far, so that a beginning sounds as in the whole.
RESAMPLING_MARGIN = 1.0


def read_audio(
    path: str | Path, sample_rate: int | None = None, max_seconds: float | None = None
) -> tuple[np.ndarray, int]:
    """Read a WAV, FLAC, MP3 or OGG file of any rate and channel count as mono.

    Args:
        path: the file.
        sample_rate: rate to resample to, in Hz; None keeps the file's.
        max_seconds: what follows is neither decoded nor looked at; None reads all.

    Returns:
        Float32 samples ``(samples,)`` in [-1, 1] and their rate.

    Raises:
        AudioError: the file is missing, empty, no audio, or holds NaN or infinity.
    """
    path = _existing(path)
    if not path.stat().st_size:
        raise AudioError(f"{path} is empty (0 bytes).")
    samples, rate = _decode(path) if max_seconds is None else _decode_start(path, max_seconds)
    if not samples.size:
        raise AudioError(f"{path} holds no samples.")
    if not np.isfinite(samples).all():
        raise NotFiniteError(f"{path} holds samples that are NaN or infinite.")
    wanted = sample_rate or rate
    mono = resample(samples.mean(axis=1, dtype="float32"), rate, wanted)
    return mono if max_seconds is None else mono[: int(max_seconds * wanted)], wanted


def audio_files(folder: str | Path) -> list[Path]:
    """Audio files of a folder, by name; hidden ones are left out.

    Raises:
        AudioError: there are none, or it cannot be read.
    """
    try:
        paths = sorted(Path(folder).iterdir())
    except OSError as error:
        raise AudioError(f"cannot read the folder {folder}: {error}.") from error
    known = (*SUFFIXES, *_ALSO_READ)
    found = [p for p in paths if p.suffix.lower() in known and not p.name.startswith(".")]
    if not found:
        raise AudioError(f"the folder {folder} holds no audio file ({', '.join(known)}).")
    return found


def _existing(path: str | Path) -> Path:
    """A file from what a user named it, ``~`` included; anything else is named for what it is."""
    named, path = str(path), Path(path)
    if named.startswith("~") and not path.exists():
        path = path.expanduser()
    if re.match(r"[a-z][a-z0-9+.-]+:/", named, re.IGNORECASE) and not path.exists():
        raise AudioError(f"{named} is an address; save the recording, and name its file.")
    if path.is_dir():
        raise AudioError(f"{path} is a folder; name an audio file in it.")
    if not path.is_file():
        raise AudioError(f"no audio file {path}.")
    return path


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample float32 ``(samples,)`` with soxr at very high quality."""
    if from_rate == to_rate or not len(audio):
        return audio.astype("float32")
    audio = np.asarray(audio, "float32")
    return soxr.resample(audio, from_rate, to_rate, quality="VHQ").astype("float32")


def write_audio(path: str | Path, audio: np.ndarray, sample_rate: int) -> None:
    """Write float ``(samples,)`` to ``path``, whole or not at all.

    The suffix decides the format (``.wav``, ``.flac``, ``.ogg``, ``.mp3``); WAV and FLAC
    hold 16 bits. Samples beyond [-1, 1] are clipped.

    Raises:
        AudioError: the suffix is none of those, a sample is NaN or infinite, or the
            file cannot be written.
    """
    path = _audio_path(path)
    if not np.isfinite(audio).all():
        raise AudioError(f"cannot write {path}: it would hold samples that are NaN or infinite.")
    with _writing(path), replacing(path, AudioError) as fresh:
        soundfile.write(fresh, np.clip(audio, -1.0, 1.0), sample_rate)


def wav_bytes(audio: np.ndarray, sample_rate: int) -> bytes:
    """Float ``(samples,)`` as a WAV file of 16 bits; what came from 16 bits is kept exactly."""
    content = io.BytesIO()
    whole = np.clip(np.round(audio * 2**15), -(2**15), 2**15 - 1).astype("int16")
    soundfile.write(content, whole, sample_rate, format="WAV", subtype="PCM_16")
    return content.getvalue()


def hum(seconds: float, pitch: float, sample_rate: int) -> np.ndarray:
    """A tone with overtones, as a voice has, that swells and fades; float32 ``(samples,)``.

    It stands for speech where any will do and silence is refused: warm-up, checks, benchmarks.
    """
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in (1, 2, 3, 4, 5))
    return (0.2 * tone * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype("float32")


def padded(clips: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Clips ``(samples,)`` as float32 rows ``(clips, longest)``, and their lengths, int32."""
    lengths = np.array([len(clip) for clip in clips], "int32")
    audio = np.zeros((len(clips), int(lengths.max())), "float32")
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = clip
    return audio, lengths


def write_growing(path: str | Path, chunks: Iterable[np.ndarray], sample_rate: int) -> np.ndarray:
    """Write chunks ``(samples,)`` as they come, so that the file can be played meanwhile.

    An older file stays until the first chunk has come; what was written before something
    fails stays, too.

    Args:
        path: of a WAV, FLAC or OGG file.
        chunks: float, in [-1, 1].
        sample_rate: in Hz.

    Returns:
        All chunks joined, float32 ``(samples,)``.

    Raises:
        AudioError: the suffix is no audio format, or the file cannot be written.
    """
    path, started = _audio_path(path), time.perf_counter()
    writable_folder(path.parent, AudioError)
    written = [np.zeros(0, "float32")]
    with ExitStack() as opened:
        for chunk in chunks:
            with _writing(path):
                if len(written) == 1:
                    logger.info("first chunk after %.2f s", time.perf_counter() - started)
                    file = soundfile.SoundFile(path, "w", sample_rate, channels=1)
                    opened.enter_context(file)
                file.write(np.clip(chunk, -1.0, 1.0))
                file.flush()
            written.append(chunk)
    return np.concatenate(written)


def check_output(path: str | Path) -> None:
    """See that audio could be written to ``path``, before the work for it is done.

    Raises:
        AudioError: the suffix is no audio format, or no file can be written there.
    """
    check_writable(_audio_path(path), AudioError)


def _audio_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise AudioError(f"{path}: {path.suffix or 'no suffix'} is no audio format; use .wav.")
    return path


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, soundfile.SoundFileError) as error:
        raise AudioError(f"cannot write {path}: {error}.") from error


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """Samples ``(samples, channels)`` and rate by the fastest decoder that takes the file."""
    fast = tensorflow_io()
    if fast is not None and path.suffix.lower() in SUFFIXES:
        try:
            decoded = fast.audio.AudioIOTensor(str(path))
            samples = decoded.to_tensor().numpy()
            # 8 bits have an offset and 24 bits come in 32: soundfile knows their scale.
            if samples.dtype == np.int16:
                return samples.astype("float32") / 2**15, int(decoded.rate.numpy())
            if samples.dtype == np.float32:
                return samples, int(decoded.rate.numpy())
        except Exception as error:  # noqa: BLE001  tensorflow-io raises many types; soundfile decides
            logger.debug("tensorflow-io did not take %s: %s", path, error)
    return _decode_start(path)


def _decode_start(path: Path, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """Samples ``(samples, channels)`` of the first ``seconds`` and a margin, and the rate."""
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            frames = -1 if seconds is None else int((seconds + RESAMPLING_MARGIN) * rate)
            return file.read(frames, dtype="float32", always_2d=True), rate
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise AudioError(f"{path} is not audio that can be decoded.") from error


@functools.cache
def tensorflow_io():
    """The ``tensorflow_io`` module where it is installed and loads, else None."""
    try:
        return importlib.import_module("tensorflow_io")
    except Exception as error:  # noqa: BLE001  a mismatched build fails in many ways
        logger.debug("tensorflow-io is not used: %s", error)
        return None
