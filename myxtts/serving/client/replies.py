"""What a server's answer must be before anything is made of it.

A program that listens at a port may answer whatever it likes: outputs that are missing or of
another shape, numbers that are none, speech that never ends.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myxtts.generation.driver import FLAGS
from myxtts.generation.voices import LARGEST
from myxtts.serving.client.transports import ServingError
from myxtts.timing import OUTPUT_RATE

Reply = Mapping[str, np.ndarray]
LOUDEST_SPEECH = 100.0  # 40 dB above full scale: what is louder is no speech to be clipped
# A text's speech lasts a quarter of a second a letter by default, and two seconds.
LONGEST_S, LONGEST_S_A_CHARACTER = 30.0, 1.0


def served_speech(reply: Reply) -> tuple[np.ndarray, tuple[str, ...]]:
    """Samples of one row, float32 ``(samples,)`` in [-1, 1], and what is wrong with them.

    Raises:
        ServingError: the reply is none of a model of MyXTTS.
    """
    flags = tuple(name for name in FLAGS if bool(_row(reply, name, "b", 1)))
    return samples(reply), flags


def samples(reply: Reply) -> np.ndarray:
    """Samples of a reply, float32 ``(samples,)`` in [-1, 1]; raises as :func:`served_speech`."""
    waveform = _row(reply, "waveform", "fi", 2).astype("float32")
    count = int(_row(reply, "samples", "i", 1))
    if not 0 <= count <= len(waveform):
        raise ServingError(
            f"the server tells of {count} samples and sends {len(waveform)}; it cannot be trusted."
        )
    waveform = waveform[:count]
    if np.max(np.abs(waveform), initial=0.0) > LOUDEST_SPEECH:
        raise ServingError("the server's speech holds samples far beyond [-1, 1].")
    return np.clip(waveform, -1.0, 1.0)


def served_voice(reply: Reply) -> dict[str, np.ndarray]:
    """``latents`` and ``speaker_embedding`` of one row; raises as :func:`served_speech`."""
    found = {
        name: _row(reply, name, "fi", rank).astype("float32")[None]
        for name, rank in (("latents", 3), ("speaker_embedding", 2))
    }
    for name, value in found.items():
        if np.max(np.abs(value), initial=0.0) > LARGEST:
            raise ServingError(f"the server's {name} holds values that no voice has.")
    return found


def state_of(reply: Reply) -> dict[str, np.ndarray]:
    """The state before a stream's first chunk; raises as :func:`served_speech`."""
    ranks = {"ids": 2, "id_lengths": 1, "characters": 1, "codes": 2, "emitted": 1}
    return {name: _whole_numbers(reply, name, rank) for name, rank in ranks.items()}


def stream_reply(reply: Reply) -> tuple[np.ndarray, dict[str, np.ndarray], bool]:
    """A chunk, the next state and whether it was the last; raises as :func:`served_speech`."""
    ended = bool(_row(reply, "finished", "b", 1))
    state = {
        name: _whole_numbers(reply, name, rank) for name, rank in (("codes", 2), ("emitted", 1))
    }
    return samples(reply), state, ended


class Bound:
    """How much speech is taken for a text, and how many answers.

    Args:
        characters: of the text.
        seconds_per_character: that the settings allow; a server may have its own, so four times
            that is waited for.
    """

    def __init__(self, characters: int, seconds_per_character: float):
        rate = max(LONGEST_S_A_CHARACTER, 4 * seconds_per_character)
        self.left = int((LONGEST_S + rate * characters) * OUTPUT_RATE)

    def take(self, chunk: np.ndarray) -> None:
        """Count a chunk ``(samples,)``.

        Raises:
            ServingError: that was too much.
        """
        # An empty answer counts, too: a quarter of a second.
        self.left -= max(len(chunk), OUTPUT_RATE // 4)
        if self.left < 0:
            raise ServingError("the server's stream does not end: it is longer than its text.")


def _whole_numbers(reply: Reply, name: str, rank: int) -> np.ndarray:
    """int32 of one row; a list of none has no type in JSON."""
    kinds = "if" if np.size(reply.get(name, 1)) == 0 else "i"
    return np.asarray(_row(reply, name, kinds, rank), "int32")[None]


def _row(reply: Reply, name: str, kinds: str, rank: int):
    """The one row of an output, whose type is one of NumPy's ``kinds``."""
    value = reply.get(name)
    if value is None:
        raise ServingError(f"the server's answer has no {name}; is it a model of MyXTTS?")
    value = np.asarray(value)
    if value.dtype.kind not in kinds or value.ndim != rank or len(value) != 1:
        raise ServingError(
            f"the server's {name} is {value.dtype} {value.shape}, which no model of MyXTTS "
            "answers to one text."
        )
    if not np.isfinite(value).all():
        raise ServingError(f"the server's {name} holds NaN or infinite values.")
    return value[0]
