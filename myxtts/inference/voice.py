"""A voice: what references become for one model, kept in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from myxtts.errors import CheckpointError
from myxtts.files import write_whole
from myxtts.models.xtts import XTTS

KIND = "myxtts voice 1"
UNSAVED = "unsaved"


@dataclass(frozen=True)
class Voice:
    """What a voice is to the model.

    Attributes:
        latents: float32 ``(1, num_latents, model_dim)`` for the GPT.
        speaker_embedding: float32 ``(1, embedding_dim)`` for the decoder.
        model: SHA-256 of the preset's weights; ``"unsaved"`` for a model without a preset.
        encoder_provenance: of a pretrained speaker encoder, else None.
        references: SHA-256 of each reference's samples.
    """

    latents: np.ndarray
    speaker_embedding: np.ndarray
    model: str = UNSAVED
    encoder_provenance: str | None = None
    references: tuple[str, ...] = ()

    def save(self, path: str | Path) -> None:
        """Write as safetensors, whole or not at all.

        Raises:
            CheckpointError: the file cannot be written.
        """
        facts = {
            "kind": KIND,
            "model": self.model,
            "encoder_provenance": json.dumps(self.encoder_provenance),
            "references": json.dumps(list(self.references)),
        }
        arrays = {"latents": self.latents, "speaker_embedding": self.speaker_embedding}
        content = save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, facts)
        write_whole(path, content)

    @classmethod
    def load(cls, path: str | Path, model: XTTS) -> Voice:
        """Read a voice that was made with ``model``.

        Raises:
            CheckpointError: the file is missing, is no voice, or is another model's.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                facts = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if facts.get("kind") != KIND:
                raise CheckpointError(f"{path} is no voice.")
            voice = cls(
                **arrays,
                model=facts["model"],
                encoder_provenance=json.loads(facts["encoder_provenance"]),
                references=tuple(json.loads(facts["references"])),
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read as a voice: {error}.") from error
        voice.require(model, str(path))
        return voice

    def require(self, model: XTTS, name: str = "the voice") -> None:
        """Raise ``CheckpointError`` unless the voice was made with ``model``."""
        if self.model != model.fingerprint:
            raise CheckpointError(
                f"{name} was made with another model (weights {self.model[:12]}, these are "
                f"{model.fingerprint[:12]}); make it again from its reference."
            )
