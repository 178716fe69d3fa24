"""A model in TensorFlow Serving behind the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from myxtts.config import SynthesisConfig
from myxtts.errors import CheckpointError, ConfigError
from myxtts.files import write_whole
from myxtts.generation.driver import text_pieces
from myxtts.server.engines import Options
from myxtts.serving.client.speech_client import ServedVoice, SpeechClient
from myxtts.text.languages import LANGUAGES

KIND = "myxtts served voice 1"


class ServedEngine:
    """Speaks through a :class:`SpeechClient`, see :class:`myxtts.server.engines.Engine`.

    Args:
        server: address of the TensorFlow Serving.
        model: its name there.
        settings: of the client; the package's when None.

    Raises:
        ConfigError: the address is none.
        ServingError: the package that the connection needs is missing.
    """

    def __init__(self, server: str, model: str, settings: SynthesisConfig | None = None):
        self._client = SpeechClient(server, model, settings=settings or SynthesisConfig())
        self.name = model
        # The server itself refuses a language that its vocabulary lacks.
        self.languages = list(LANGUAGES)
        self.own_voices: dict[str, str] = {}

    def warm_up(self) -> None:
        """Nothing: the server does that for itself."""

    def own_voice(self, name: str) -> ServedVoice:
        """A served model has none."""
        raise CheckpointError(f"the served model has no voice {name}.")

    def condition(self, recording: Path) -> ServedVoice:
        """The voice of an audio file."""
        return self._client.condition(recording)

    def save(self, voice: ServedVoice, path: Path) -> None:
        """Keep a voice as safetensors."""
        arrays = {name: np.ascontiguousarray(array) for name, array in vars(voice).items()}
        write_whole(path, save(arrays, {"kind": KIND, "model": json.dumps(self.name)}))

    def load(self, path: Path) -> ServedVoice:
        """A voice of :meth:`save`."""
        try:
            with safe_open(path, framework="numpy") as file:
                facts = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if facts.get("kind") != KIND or facts.get("model") != json.dumps(self.name):
                raise CheckpointError(f"the voice {path.parent.name} is another model's.")
            return ServedVoice(**arrays)
        except (OSError, SafetensorError, TypeError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"the voice {path.parent.name} is damaged.") from error

    def check(self, text: str, language: str, options: Options) -> None:
        """Cut the text into pieces; a speed cannot be chosen, it was fixed by the export."""
        if options.speed != 1.0:
            raise ConfigError("speed was fixed when this model was exported; leave it at 1.")
        text_pieces(text, language, self._client.settings)

    def speak(
        self, text: str, voice: ServedVoice, language: str, options: Options, whole: bool
    ) -> Iterator[np.ndarray]:
        """Chunks of the served model's stream, which alone can be stopped, whole or not."""
        return self._client.stream(text, voice, language, **options.given())
