"""Speech as a file of a format, whole or while it is made; PyAV encodes."""

from __future__ import annotations

import io

import av
import numpy as np

from myxtts.timing import OUTPUT_RATE

# Container and codec by FFmpeg's names, and the media type.
_FORMATS = {
    "wav": ("wav", "pcm_s16le", "audio/wav"),
    "mp3": ("mp3", "libmp3lame", "audio/mpeg"),
    "opus": ("ogg", "libopus", "audio/ogg"),
    "flac": ("flac", "flac", "audio/flac"),
    "aac": ("adts", "aac", "audio/aac"),
}
PCM = "pcm"
NAMES = (*_FORMATS, PCM)


def media_type(name: str) -> str:
    """Of a format; ``pcm`` are samples of 16 bits, little-endian, mono, at 24 kHz."""
    return f"audio/pcm;rate={OUTPUT_RATE};channels=1" if name == PCM else _FORMATS[name][2]


class _Pipe:
    """A file that is written and not sought in, as a connection is."""

    def __init__(self):
        self._parts: list[bytes] = []

    def write(self, data) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        content, self._parts = b"".join(self._parts), []
        return content


class Encoder:
    """Turns chunks of speech into bytes of one file.

    Args:
        name: of ``NAMES``.
    """

    def __init__(self, name: str):
        self._pipe, self._container, self._made = _Pipe(), None, 0
        if name != PCM:
            self._open(self._pipe, name)

    def _open(self, file, name: str) -> None:
        container, codec, _ = _FORMATS[name]
        self._container = av.open(file, "w", format=container)
        self._stream = self._container.add_stream(codec, rate=OUTPUT_RATE, layout="mono")

    def push(self, chunk: np.ndarray) -> bytes:
        """What float32 ``(samples,)`` add to the file; empty while the codec collects."""
        whole = np.clip(np.round(chunk * 2**15), -(2**15), 2**15 - 1).astype("<i2")
        if self._container is None:
            return whole.tobytes()
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = OUTPUT_RATE, self._made
        self._made += len(whole)
        self._container.mux(self._stream.encode(frame))
        return self._pipe.taken()

    def end(self) -> bytes:
        """What is left at the end of the speech."""
        if self._container is None:
            return b""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._pipe.taken()


class _Whole(Encoder):
    """Writes to memory that can be sought in, so that a header knows the length."""

    def __init__(self, name: str):
        super().__init__(PCM)
        self.file = io.BytesIO()
        self._open(self.file, name)


def encoded(waveform: np.ndarray, name: str) -> bytes:
    """Float32 ``(samples,)`` as a file whose header tells its length, where it has one."""
    if name == PCM:
        return Encoder(PCM).push(waveform)
    encoder = _Whole(name)
    encoder.push(waveform)
    encoder.end()
    return encoder.file.getvalue()
