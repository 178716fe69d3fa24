"""Who makes the speech behind the gateway, as the gateway sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Options:
    """Sampling of one text; None for the model's own. ``speed`` as in ``SynthesisConfig``."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    speed: float = 1.0

    def given(self) -> dict[str, float]:
        """Those of the sampling that were given."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        values.pop("speed")
        return values


class Engine(Protocol):
    """A model that speaks; its methods are called in worker threads, several at once.

    Attributes:
        name: of the model, for ``/v1/models``.
        languages: codes of those it speaks.
        own_voices: names of its own voices and what they are like, the first is the default.
    """

    name: str
    languages: list[str]
    own_voices: dict[str, str]

    def warm_up(self) -> None:
        """Build what the first request would wait for."""

    def own_voice(self, name: str) -> Any:
        """One of ``own_voices``."""

    def condition(self, recording: Path) -> Any:
        """The voice of an audio file; raises ``AudioError`` where none is in it."""

    def save(self, voice: Any, path: Path) -> None:
        """Keep a voice as safetensors, whole or not at all."""

    def load(self, path: Path) -> Any:
        """A voice of :meth:`save`; raises ``CheckpointError`` for another model's."""

    def check(self, text: str, language: str, options: Options) -> None:
        """Raise a ``MyXTTSError`` for what :meth:`speak` would refuse; quick."""

    def speak(
        self, text: str, voice: Any, language: str, options: Options, whole: bool
    ) -> Iterator[np.ndarray]:
        """Chunks of speech, float32 ``(samples,)`` at 24 kHz.

        Args:
            text, voice, language, options: what to say, and how.
            whole: nobody listens yet, so that a poor take may be tried again. Some chunks are
                empty then: places where the work can be stopped.
        """


def mixed(voices: Sequence[Any], weights: Sequence[float]) -> Any:
    """The weighted mean of voices of one model, as that of several references is one."""
    shares = np.asarray(weights, "float64") / np.sum(weights)

    def mean(name: str) -> np.ndarray:
        arrays = [getattr(voice, name) for voice in voices]
        return sum(w * a for w, a in zip(shares, arrays, strict=True)).astype("float32")

    names = ("latents", "speaker_embedding")
    return replace(voices[0], **{name: mean(name) for name in names})
