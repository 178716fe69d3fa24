"""Speech whose durations are known: the phonemes' own, as the network that speaks chose them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myxtts.audio.io import resample
from myxtts.errors import WeightsError
from tools.voice_corpus.front_end import INSTALL, Reading

SAMPLE_RATE = 24_000
STEP = 600  # samples of the unit of durations, 25 ms, in hibari-tts and Kokoro
MARGIN = 0.1  # seconds of silence kept at both ends
_SILENT = 0.01  # of the peak; what is quieter at the ends is no speech
QUIETEST = 0.01  # sample of what is no silence
_LEVEL, _PEAK = 0.06, 0.9  # root mean square of a clip, and what no sample exceeds


@dataclass(frozen=True)
class Speech:
    """One clip.

    Attributes:
        audio: float32 ``(samples,)`` at 24 kHz.
        durations: float64 ``(phonemes + 2,)`` in seconds: silence, each phoneme, silence.
            Their sum is the clip's length.
    """

    audio: np.ndarray
    durations: np.ndarray

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


def trimmed(speech: Speech, phonemes: str) -> Speech:
    """``speech`` with 100 ms of silence at both ends, the durations cut as well.

    Only silence and the punctuation at the end get shorter, never a phoneme that sounds.
    """
    loud = np.flatnonzero(np.abs(speech.audio) > _SILENT * np.abs(speech.audio).max(initial=0))
    if not len(loud):
        return speech
    durations = speech.durations.copy()
    start = min(max(loud[0] / SAMPLE_RATE - MARGIN, 0), durations[0])
    durations[0] -= start
    quiet = 1 + len(phonemes) - len(phonemes.rstrip(' .,;:!?…—"”)'))
    end = max((len(speech.audio) - loud[-1]) / SAMPLE_RATE - MARGIN, 0)
    end = left = min(end, durations[-quiet:].sum())
    for index in range(1, quiet + 1):
        cut = min(left, durations[-index])
        durations[-index] -= cut
        left -= cut
    first, last = round(start * SAMPLE_RATE), len(speech.audio) - round(end * SAMPLE_RATE)
    return Speech(speech.audio[first:last], durations)


def levelled(speech: Speech) -> Speech:
    """``speech`` as loud as all clips are."""
    return Speech(levelled_audio(speech.audio), speech.durations)


def levelled_audio(audio: np.ndarray) -> np.ndarray:
    """Float ``(samples,)``, not empty, as loud as all clips are; float32."""
    loudness = float(np.sqrt(np.mean(np.square(audio)))) or 1.0
    gain = min(_LEVEL / loudness, _PEAK / max(float(np.abs(audio).max()), 1e-6))
    return (audio * gain).astype("float32")


def faster(audio: np.ndarray, sample_rate: float, tempo: float) -> np.ndarray:
    """Float32 ``(samples,)`` played ``tempo`` times as fast, at 24 kHz.

    Pitch and formants move as well: it is somebody else who speaks.
    """
    return resample(audio, sample_rate * tempo, SAMPLE_RATE)


def played_faster(speech: Speech, tempo: float) -> Speech:
    """``speech`` played ``tempo`` times as fast, its durations that much shorter."""
    return Speech(faster(speech.audio, SAMPLE_RATE, tempo), speech.durations / tempo)


def other_speaker(name: str, tempo: float) -> str:
    """Name of the speaker that ``name`` is when played ``tempo`` times as fast."""
    return f"{name}@{tempo:g}"


def is_sound(speech: Speech) -> bool:
    """Whether the samples are finite and not silent, and the durations fill the clip."""
    if not len(speech.audio) or not np.isfinite(speech.audio).all():
        return False
    fills = abs(speech.durations.sum() - speech.seconds) < 1e-3
    return bool(np.abs(speech.audio).max() > QUIETEST and fills and speech.durations.min() >= 0)


def word_durations(reading: Reading, durations: Sequence[float]) -> np.ndarray:
    """Seconds ``(words,)`` of each written word, of ``(phonemes,)``; with the space behind it."""
    sizes = [len(word) + 1 for word in reading.words]
    starts = np.cumsum([0, *sizes[:-1]])
    return np.add.reduceat(np.asarray(durations, "float64"), starts)


def session_with_durations(model: bytes, name: str):
    """A one-thread ONNX session of ``model`` whose last output is the tensor ``name``.

    Raises:
        WeightsError: a package is missing, or the graph has no such tensor.
    """
    try:
        onnx, runtime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    except ImportError as error:
        raise WeightsError(f"the speech needs {error.name}; run: {INSTALL}") from error
    graph = onnx.load_from_string(model)
    if not any(name in node.output for node in graph.graph.node):
        raise WeightsError(f"the network that speaks has no durations {name}: another version?")
    value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    graph.graph.output.append(value)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    return runtime.InferenceSession(graph.SerializeToString(), options, providers=providers)
