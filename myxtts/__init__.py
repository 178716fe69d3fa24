"""MyXTTS: XTTS in Keras 3. Text and a few seconds of a voice in, speech out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from myxtts.config import XTTSConfig
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.inference.voice import Voice
    from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
    from myxtts.models.xtts import XTTS
    from myxtts.serving.client import SpeechClient
    from myxtts.training.run import train
    from myxtts.verification.verifier import SpeakerVerifier

__version__ = "0.1.0"

# Imported when asked for: nobody waits for TensorFlow who needs it not.
_PLACES = {
    "PretrainedSpeakerEncoder": "models.speaker_encoder",
    "SpeakerVerifier": "verification.verifier",
    "SpeechClient": "serving.client",
    "Synthesizer": "inference.synthesizer",
    "Voice": "inference.voice",
    "XTTS": "models.xtts",
    "XTTSConfig": "config",
    "train": "training.run",
}
__all__ = [
    "XTTS",
    "PretrainedSpeakerEncoder",
    "SpeakerVerifier",
    "SpeechClient",
    "Synthesizer",
    "Voice",
    "XTTSConfig",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
