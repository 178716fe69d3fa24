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

from myxtts.audio.decoding import check_header, decode, duration, reason_of
from myxtts.errors import AudioError, NotFiniteError, UnreadableError
from myxtts.files import check_writable, is_full, refusal_of_disk, replacing, writable_folder

logger = logging.getLogger(__name__)

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
# Read by the same decoder, and not written.
ALSO_READ = (".opus", ".aiff", ".aif", ".au", ".caf")
# A longer recording is no clip of speech; an hour at 9 kHz is what fits in memory anyway.
LONGEST_S = 3600.0
# Full scale of 32-bit integers: recordings that were never divided by it are sound. More is damage.
LOUDEST = 2.0**31
# The resampling filter does not reach so far, so that a beginning sounds as in the whole.
RESAMPLING_MARGIN = 1.0


def read_audio(
    path: str | Path,
    sample_rate: int | None = None,
    max_seconds: float | None = None,
    longest: float = LONGEST_S,
) -> tuple[np.ndarray, int]:
    """Read an audio file of any rate and channel count as mono.

    WAV, FLAC, MP3, OGG and what else soundfile knows; with the package ``av`` also MPEG-4, AAC
    and AMR. No more than 128 MiB are decoded, whatever a header says.

    Args:
        path: the file.
        sample_rate: rate to resample to, in Hz; None keeps the file's.
        max_seconds: what follows is neither decoded nor looked at; None reads all.
        longest: a whole recording that lasts more seconds is refused, by its header where
            that says so.

    Returns:
        Float32 samples ``(samples,)``, in [-1, 1] where the file's are, and their rate.

    Raises:
        AudioError: the file is missing, empty, no audio, or holds samples beyond all sound.
        TooLongError: it lasts too long.
        NotFiniteError: it holds NaN or infinity.
        UnreadableError: the machine failed, not the file; it may be readable later.
    """
    path = _with_content(path)
    samples, rate = _decode(path, max_seconds, longest)
    if not samples.size:
        raise AudioError(f"{path} holds no samples.")
    with np.errstate(over="ignore", invalid="ignore"):
        mono = samples.mean(axis=1, dtype="float32")
    del samples
    check_samples(mono, str(path))
    wanted = sample_rate or rate
    if max_seconds is None:
        check_header(path, wanted, 1, int(len(mono) * wanted / rate))
    mono = resample(mono, rate, wanted)
    return mono if max_seconds is None else mono[: int(max_seconds * wanted)], wanted


def read_span(path: str | Path, start: float, seconds: float, sample_rate: int) -> np.ndarray:
    """Read a part of a long recording as mono, without decoding what is before it.

    Args:
        path: the file. Where its kind cannot be sought in, the whole is decoded.
        start: of the part, in seconds.
        seconds: of the part; at the end of the file there may be fewer.
        sample_rate: to resample to, in Hz.

    Returns:
        Float32 samples ``(samples,)``, none beyond the end.

    Raises:
        AudioError: as :func:`read_audio` says.
    """
    path = _with_content(path)
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            check_header(path, rate, file.channels, int(seconds * rate))
            file.seek(min(int(start * rate), file.frames))
            samples = file.read(int(seconds * rate) + 1, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, TypeError):
        whole, _ = read_audio(path, sample_rate)
        first = int(start * sample_rate)
        return whole[first : first + int(seconds * sample_rate)]
    mono = samples.mean(axis=1, dtype="float32")
    check_samples(mono, str(path))
    return resample(mono, rate, sample_rate)[: int(seconds * sample_rate)]


def check_samples(audio: np.ndarray, name: str) -> None:
    """Refuse samples that are no sound.

    Args:
        audio: float, of any shape.
        name: of what they are from, for the sentence.

    Raises:
        NotFiniteError: one is NaN or infinite.
        AudioError: one is beyond :data:`LOUDEST`.
    """
    if not audio.size:
        return
    low, high = float(np.min(audio)), float(np.max(audio))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise NotFiniteError(f"{name} holds samples that are NaN or infinite.")
    if max(-low, high) > LOUDEST:
        raise AudioError(
            f"{name} holds samples up to {max(-low, high):.3g}; sound lies in [-1, 1]."
        )


def audio_files(folder: str | Path) -> list[Path]:
    """Audio files of a folder, by name; hidden ones are left out.

    Raises:
        AudioError: there are none, or it cannot be read.
    """
    try:
        paths = sorted(Path(folder).iterdir())
    except OSError as error:
        raise AudioError(f"cannot read the folder {folder}: {error}.") from error
    known = (*SUFFIXES, *ALSO_READ)
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


def _with_content(path: str | Path) -> Path:
    """A file from what a user named it, unless it is empty."""
    try:
        path = _existing(path)
        empty = not path.stat().st_size
    except (OSError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        raise UnreadableError(f"{path} could not be read now: {reason_of(error)}.") from error
    if empty:
        raise AudioError(f"{path} is empty (0 bytes).")
    return path


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample float32 ``(samples,)`` with soxr at very high quality."""
    if from_rate == to_rate or not len(audio):
        return audio.astype("float32")
    audio = np.asarray(audio, "float32")
    made = soxr.resample(audio, from_rate, to_rate, quality="VHQ")
    return made.astype("float32", copy=False)


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
    content, audio = io.BytesIO(), np.clip(audio, -1.0, 1.0)
    with _writing(path), replacing(path, AudioError) as fresh:
        # Through memory: of a full disk, libsndfile says no more than that there is an error.
        soundfile.write(content, audio, sample_rate, format=path.suffix[1:].upper())
        fresh.write_bytes(content.getbuffer())


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
        raise AudioError(f"cannot write {path}: {_why(path, error)}.") from error


def _why(path: Path, error: Exception) -> str:
    """Why a file cannot be written; libsndfile keeps the system's reason to itself."""
    if isinstance(error, soundfile.SoundFileError):
        error = refusal_of_disk(path.parent) or error
    return "no space on its disk" if is_full(error) else str(error).rstrip(".")


def _decode(path: Path, seconds: float | None, longest: float) -> tuple[np.ndarray, int]:
    """Samples ``(samples, channels)`` and rate by the fastest decoder that takes the file."""
    if seconds is not None:
        return decode(path, seconds + RESAMPLING_MARGIN, longest)
    fast = tensorflow_io()
    if fast is not None and path.suffix.lower() in SUFFIXES and 0 < duration(path) <= longest:
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
    return decode(path, None, longest)


@functools.cache
def tensorflow_io():
    """The ``tensorflow_io`` module where it is installed and loads, else None."""
    try:
        return importlib.import_module("tensorflow_io")
    except Exception as error:  # noqa: BLE001  a mismatched build fails in many ways
        logger.debug("tensorflow-io is not used: %s", error)
        return None
