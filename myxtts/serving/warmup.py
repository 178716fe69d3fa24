"""Requests that TensorFlow Serving runs before it calls a model available.

The first request of a kind builds kernels and fills caches. With these records in the export,
the server's own requests pay for that and not the first user's.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from myxtts.audio.io import hum, wav_bytes
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
VOICE = ("latents", "speaker_embedding")
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
        steps = STEPS if "codes" in inputs else STEPS[:1]
        for rows, step in itertools.product(sorted(set(batch_sizes)), steps):
            pool = _pool(signature, serving, rows, *step)
            if unknown := sorted(inputs.keys() - pool.keys() - set(VOICE)):
                logger.warning(
                    "no warm-up for %s: its input %s is not known.", signature, unknown[0]
                )
                break
            requests.append((signature, {n: _made(n, pool, inputs[n], rows) for n in inputs}))
    return requests


def _pool(signature: str, serving: Mapping, rows: int, made: int, count: int) -> dict[str, list]:
    """Values of inputs by their names, for ``rows`` rows after ``made`` codes."""
    embeds = signature == "speaker_embedding"
    rate = SPEAKER_RATE if embeds else serving["reference_rate"]
    languages = serving.get("languages", [""])
    clip = hum(SECONDS, PITCH_HZ, rate)
    alike = {
        "text": TEXT,
        "audio": clip,
        "lengths": len(clip),
        "wav_bytes": wav_bytes(clip, rate),
        # Neither start nor stop, and in every vocabulary.
        "ids": range(1, 1 + IDS),
        "id_lengths": IDS,
        "characters": len(TEXT),
        "codes": range(made),
        "emitted": 0,
        "count": count,
        **serving.get("defaults", {}),
    }
    pool = {name: [value] * rows for name, value in alike.items()}
    return pool | {"language": [languages[row % len(languages)] for row in range(rows)]}


def _made(name: str, pool: Mapping[str, list], tensor: Mapping, rows: int) -> np.ndarray:
    """The value of one input, as ``signatures.json`` describes it."""
    kind = object if tensor["dtype"] == "string" else tensor["dtype"]
    if name in pool:
        return np.array(pool[name], kind)
    # Numbers of about the size of a voice's, since all zeros would be no voice's.
    shape = (rows, *tensor["shape"][1:])
    return (np.random.default_rng(0).normal(size=shape) / np.sqrt(shape[-1])).astype(kind)


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
