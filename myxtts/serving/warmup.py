"""Requests that TensorFlow Serving runs before it calls a model available.

The first request of a kind builds kernels and fills caches. With these records in the export,
the server's own requests pay for that and not the first user's.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import tensorflow as tf

from myxtts.config import SynthesisConfig
from myxtts.errors import CheckpointError, ConfigError
from myxtts.files import replacing
from myxtts.serving.configuration import LARGEST_BATCH
from myxtts.timing import SPEAKER_RATE

logger = logging.getLogger(__name__)

FILE = "assets.extra/tf_serving_warmup_requests"
# A server that finds more refuses the model.
MAX_RECORDS = 1000
# Every language reads digits in its own words.
TEXT = "1 2 3"
IDS = 8
SECONDS = 3.0
PITCH_HZ = 120.0
STREAM = SynthesisConfig()
# A stream's codes before a call and those it makes: its first call and a later one.
STEPS = ((0, STREAM.first_codes), (STREAM.first_codes, STREAM.stream_codes))
# Field numbers of PredictionLog, PredictLog, PredictRequest, ModelSpec and a map's entries.
PREDICT_LOG, REQUEST = 6, 1
MODEL_SPEC, INPUTS = 1, 2
NAME, SIGNATURE_NAME = 1, 3
KEY, VALUE = 1, 2
LENGTH_DELIMITED = 2

Request = tuple[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class _Place:
    """What a value is made for: an input of a signature in a request of so many rows."""

    signature: str
    name: str
    shape: tuple[int | None, ...]
    rows: int
    step: tuple[int, int]
    serving: Mapping

    @property
    def rate(self) -> int:
        """Of audio, in Hz."""
        embeds = self.signature == "speaker_embedding"
        return SPEAKER_RATE if embeds else self.serving["reference_rate"]


def warmup_requests(
    described: Mapping, serving: Mapping, batch_sizes: Sequence[int] = (1, LARGEST_BATCH)
) -> list[Request]:
    """Requests that every signature of an export can answer.

    A short text, in the first language and, in a batch, in the others by turns; three seconds
    of a hum as reference; the export's own sampling options.

    Args:
        described: ``assets.extra/signatures.json``.
        serving: ``assets.extra/serving.json``.
        batch_sizes: rows of the requests.

    Returns:
        Pairs of a signature and its inputs. A signature with an input that is not known here
        is left out, which is logged.
    """
    requests = []
    for signature, tensors in described.items():
        inputs = tensors["inputs"]
        if unknown := sorted(inputs.keys() - _MAKERS.keys()):
            logger.warning("no warm-up for %s: its input %s is not known.", signature, unknown[0])
            continue
        steps = STEPS if "codes" in inputs else STEPS[:1]
        for rows in sorted(set(batch_sizes)):
            requests += [
                (signature, _inputs(signature, inputs, rows, step, serving)) for step in steps
            ]
    return requests


def write_warmup(folder: str | Path, requests: Sequence[Request], model: str) -> Path:
    """Write ``requests`` into an export as the server reads them, whole or not at all.

    Args:
        folder: of the version.
        requests: as :func:`warmup_requests` makes them.
        model: its name on the server.

    Raises:
        ConfigError: there are more than a server takes.
        CheckpointError: the file cannot be written.
    """
    if len(requests) > MAX_RECORDS:
        raise ConfigError(
            f"{len(requests)} warm-up requests: a server takes no more than {MAX_RECORDS}."
        )
    path = Path(folder) / FILE
    try:
        with replacing(path) as fresh, tf.io.TFRecordWriter(str(fresh)) as writer:
            for signature, inputs in requests:
                writer.write(prediction_log(model, signature, inputs))
    except tf.errors.OpError as error:
        raise CheckpointError(f"cannot write {path}: {error}.") from error
    return path


def prediction_log(model: str, signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """A request as a serialized ``PredictionLog`` of TensorFlow Serving.

    Written by hand, since its messages are in the package ``tensorflow-serving-api``, which
    an export should not need.
    """
    spec = _field(NAME, model.encode()) + _field(SIGNATURE_NAME, signature.encode())
    request = _field(MODEL_SPEC, spec)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(INPUTS, _field(KEY, name.encode()) + _field(VALUE, tensor))
    return _field(PREDICT_LOG, _field(REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that another byte follows."""
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def _inputs(
    signature: str, inputs: Mapping, rows: int, step: tuple[int, int], serving: Mapping
) -> dict[str, np.ndarray]:
    made = {}
    for name, tensor in inputs.items():
        place = _Place(signature, name, tuple(tensor["shape"]), rows, step, serving)
        kind = object if tensor["dtype"] == "string" else tensor["dtype"]
        made[name] = np.array(_MAKERS[name](place), kind)
    return made


def _hum(place: _Place) -> np.ndarray:
    """Harmonics that rise and fall, float32 ``(samples,)``: silence would be refused."""
    time = np.arange(int(SECONDS * place.rate)) / place.rate
    tone = sum(np.sin(2 * np.pi * PITCH_HZ * k * time) / k for k in range(1, 8))
    return (0.15 * tone * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype("float32")


def _wav(place: _Place) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, _hum(place), place.rate, format="WAV", subtype="PCM_16")
    return content.getvalue()


def _noise(place: _Place) -> np.ndarray:
    """Numbers of about the size of a voice's, since all zeros would be no voice's."""
    shape = (place.rows, *place.shape[1:])
    return np.random.default_rng(0).normal(size=shape) / np.sqrt(shape[-1])


def _languages(place: _Place) -> list[str]:
    languages = place.serving["languages"]
    return [languages[row % len(languages)] for row in range(place.rows)]


def _option(place: _Place) -> list[float]:
    return [place.serving["defaults"][place.name]] * place.rows


# Values of the inputs by their names, the same in all signatures.
_MAKERS: dict[str, Callable[[_Place], object]] = {
    "text": lambda place: [TEXT] * place.rows,
    "language": _languages,
    "audio": lambda place: [_hum(place)] * place.rows,
    "lengths": lambda place: [int(SECONDS * place.rate)] * place.rows,
    "wav_bytes": lambda place: [_wav(place)] * place.rows,
    "latents": _noise,
    "speaker_embedding": _noise,
    # Neither start nor stop, and in every vocabulary.
    "ids": lambda place: [range(1, 1 + IDS)] * place.rows,
    "id_lengths": lambda place: [IDS] * place.rows,
    "characters": lambda place: [len(TEXT)] * place.rows,
    "codes": lambda place: [range(place.step[0])] * place.rows,
    "emitted": lambda place: [0] * place.rows,
    "count": lambda place: [place.step[1]] * place.rows,
    **dict.fromkeys(("temperature", "top_k", "top_p", "repetition_penalty", "seed"), _option),
}
