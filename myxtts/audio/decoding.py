"""Decoders of audio files that nobody vouches for: soundfile first, then PyAV.

A header is looked at before memory is spent on what it says, and every exception of a decoder
is the file's. An error of the machine (a disk that does not answer, too little memory, a library
that does not load) is told apart from that: it may be gone the next time.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from myxtts.errors import AudioError, TooLongError, UnreadableError

logger = logging.getLogger(__name__)

# Of all channels; as float32 they are 128 MiB.
MOST_SAMPLES = 2**25
# No speech is kept at another rate, and a damaged one would make hours of a second.
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
# Seconds before a read that failed is tried again.
PAUSES_S = (0.05, 0.5)
# A header that does not know its file's length says that.
_ENDLESS = 2**48
# libsndfile's number for an error of the operating system.
_SYSTEM = 2
_BLOCK = 2**20
# What PyAV may try, by how a file begins. Never by its content alone: FFmpeg also knows lists
# of other files and of addresses.
_CONTAINERS = {
    "mov": (b"....ftyp", b"....moov", b"....mdat", b"....wide", b"....free"),
    "amr": (b"#!AMR",),
    "aac": (b"\xff\xf1", b"\xff\xf9", b"\xff\xf0", b"\xff\xf8"),
    "matroska": (b"\x1a\x45\xdf\xa3",),
    "asf": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",),
    "wav": (b"RIFF....WAVE", b"RF64....WAVE"),
    "ogg": (b"OggS",),
    "caf": (b"caff",),
    "aiff": (b"FORM....AIF",),
    "wv": (b"wvpk",),
    "ape": (b"MAC ",),
    "tta": (b"TTA1",),
}
_RAW = ("wav", "aiff", "caf")
_PACKED = ("aac", "ac3", "alac", "amrnb", "amr_nb", "mp3", "opus", "vorbis", "wmav1", "wmav2")
_NAMES = {"mov": "an MPEG-4 file (m4a, AAC)", "amr": "an AMR file", "aac": "an AAC file"}


def decode(path: Path, seconds: float | None, longest: float) -> tuple[np.ndarray, int]:
    """Samples ``(samples, channels)``, float32, and the rate of an audio file in Hz.

    Args:
        path: of a file that is there.
        seconds: what follows is not decoded; None decodes all.
        longest: with ``seconds`` None, a recording of more seconds is refused.

    Raises:
        AudioError: it cannot be decoded, or its header asks for what no speech has.
        TooLongError: it lasts too long.
        UnreadableError: the machine failed, not the file.
    """
    for pause in (*PAUSES_S, None):
        try:
            return _decoded(path, seconds, longest)
        except AudioError:
            raise
        except Exception as error:
            if not is_of_machine(error):
                raise AudioError(f"{path} is not audio that can be decoded.") from error
            if pause is None or isinstance(error, ImportError):
                raise UnreadableError(
                    f"{path} could not be read now: {reason_of(error)}."
                ) from error
            logger.debug("%s: %s; trying again", path, error)
        time.sleep(pause)
    raise AssertionError("the last try ends by a return or an error")


def is_of_machine(error: BaseException) -> bool:
    """Whether an exception tells of the machine, not of the file that was read."""
    if isinstance(error, soundfile.LibsndfileError):
        return error.code == _SYSTEM
    if type(error).__module__.startswith("av."):
        return isinstance(error, OSError) and error.errno in (errno.EIO, errno.ENOMEM)
    return isinstance(error, (OSError, MemoryError, ImportError)) and not isinstance(
        error, EOFError
    )


def reason_of(error: BaseException) -> str:
    """What an error of the machine says to a person."""
    if isinstance(error, MemoryError):
        return f"too little memory ({error})" if str(error) else "too little memory"
    if isinstance(error, soundfile.LibsndfileError):
        return "the system reports an error"
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return told.rstrip(".")


def check_header(
    path: Path, rate: int, channels: int, frames: int, longest: float | None = None
) -> None:
    """Refuse a header that no recording of speech has, before its samples are decoded.

    Args:
        path: of the file, for the sentence.
        rate, channels: as the header says.
        frames: samples of each channel that are to be decoded.
        longest: seconds that may be decoded; None for any number.

    Raises:
        AudioError, TooLongError: it is one.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(
            f"{path} has a sample rate of {rate} Hz by its header; "
            f"speech has {LOWEST_RATE} to {HIGHEST_RATE} Hz."
        )
    if channels < 1:
        raise AudioError(f"{path} has no channel by its header.")
    most = MOST_SAMPLES // channels
    if frames > most or (longest is not None and frames > longest * rate):
        bound = most / rate if longest is None else min(longest, most / rate)
        raise TooLongError(path, frames / rate, bound)


def _decoded(path: Path, seconds: float | None, longest: float) -> tuple[np.ndarray, int]:
    try:
        with soundfile.SoundFile(path) as file:
            return _by_soundfile(path, file, seconds, longest)
    except (soundfile.SoundFileError, TypeError) as error:
        if isinstance(error, soundfile.LibsndfileError) and error.code == _SYSTEM:
            # Of the machine only if the file itself cannot be read: damage says so, too.
            _read_through(path)
            raise AudioError(f"{path} is not audio that can be decoded.") from error
        container = _container(path)
        if container is None:
            raise
        return _by_av(path, container, seconds, longest)


def _by_soundfile(
    path: Path, file: soundfile.SoundFile, seconds: float | None, longest: float
) -> tuple[np.ndarray, int]:
    rate, channels = file.samplerate, file.channels
    known = file.frames < _ENDLESS
    if seconds is not None:
        check_header(path, rate, channels, 0)
        frames = min(int(seconds * rate), MOST_SAMPLES // channels)
    elif known:
        check_header(path, rate, channels, file.frames, longest)
        frames = file.frames
    else:
        check_header(path, rate, channels, 0)
        frames = min(int(longest * rate), MOST_SAMPLES // channels) + 1
    if not known:
        # The end is where the samples are; it cannot be sought.
        file.seekable = lambda: False
    samples = file.read(frames, dtype="float32", always_2d=True)
    if seconds is None and not known:
        check_header(path, rate, channels, len(samples), longest)
        samples = samples.copy()
    return samples, rate


def _container(path: Path) -> str | None:
    """Name at FFmpeg of what a file is by its first bytes, if soundfile does not know it."""
    with path.open("rb") as file:
        start = file.read(16)
    for name, signs in _CONTAINERS.items():
        for sign in signs:
            own = start[: len(sign)]
            if len(own) == len(sign) and all(
                wanted in (b"."[0], byte) for wanted, byte in zip(sign, own, strict=True)
            ):
                return name
    return None


def _by_av(
    path: Path, container: str, seconds: float | None, longest: float
) -> tuple[np.ndarray, int]:
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        what = _NAMES.get(container, f"of a kind ({container}) that soundfile does not know")
        raise AudioError(
            f"{path} is {what}, which the package av reads: pip install 'myxtts[av]'. Without it "
            f"WAV, FLAC, MP3, OGG and Opus are read: ffmpeg -i {path.name} {path.stem}.wav"
        ) from error
    strict = {"err_detect": "crccheck+bitstream+buffer+explode"}
    with (
        path.open("rb") as content,
        av.open(content, format=container, options=strict, metadata_errors="ignore") as opened,
    ):
        if not opened.streams.audio:
            raise AudioError(f"{path} holds no sound.")
        stream = opened.streams.audio[0]
        stream.codec_context.options = strict
        if container in _RAW and stream.codec_context.name not in _PACKED:
            # Raw samples are soundfile's; a damaged header would make noise of them here.
            raise AudioError(f"{path} is not audio that can be decoded.")
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        told = float(opened.duration or 0) / av.time_base
        if seconds is None:
            check_header(path, rate, channels, int(told * rate), longest)
        else:
            check_header(path, rate, channels, 0)
        wanted = longest if seconds is None else seconds
        most = min(int(wanted * rate), MOST_SAMPLES // channels)
        samples = _joined(_blocks(av, opened, rate), most + 1, channels)
    if seconds is None:
        check_header(path, rate, channels, len(samples), longest)
        if len(samples) < 0.9 * told * rate - rate:
            raise AudioError(f"{path} is cut: its header tells of {told:.2f} s.")
    return samples[:most], rate


def _blocks(av, opened, rate: int) -> Iterator[np.ndarray]:
    """Decoded blocks ``(samples, channels)``, float32."""
    to_float = av.AudioResampler(format="flt", rate=rate)
    for frame in opened.decode(audio=0):
        for part in to_float.resample(frame):
            yield part.to_ndarray().reshape(part.samples, -1)


def _joined(blocks: Iterator[np.ndarray], most: int, channels: int) -> np.ndarray:
    """As many blocks as ``most`` samples need, joined."""
    found, count = [np.zeros((0, channels), "float32")], 0
    for block in blocks:
        if block.shape[1] != channels:
            raise ValueError("the number of channels changes")
        found.append(block)
        count += len(block)
        if count >= most:
            break
    return np.concatenate(found)[:most]


def _read_through(path: Path) -> None:
    """Read a file to its end; ``OSError`` where the machine does not give it."""
    with path.open("rb") as file:
        while file.read(_BLOCK):
            pass


def require_length(path: Path, longest: float) -> None:
    """Refuse a recording whose header says that it lasts more than ``longest`` seconds.

    A header that cannot be read, or does not say, is left to the decoders.

    Raises:
        TooLongError: it does.
    """
    try:
        told = _header(path)
    except Exception:  # noqa: BLE001  whatever it is, decoding meets it again
        return
    if told.samplerate >= LOWEST_RATE and longest * told.samplerate < told.frames < _ENDLESS:
        raise TooLongError(path, told.frames / told.samplerate, longest)


def duration(path: str | Path) -> float:
    """Seconds of an audio file by its header; 0 where soundfile does not know it."""
    with contextlib.suppress(Exception):
        return float(_header(path).duration)
    return 0.0


def _header(path: str | Path):
    """What soundfile reads of a header; a pipe would be waited for without an end."""
    if not Path(path).is_file():
        raise OSError(f"{path} is no file")
    return soundfile.info(path)
