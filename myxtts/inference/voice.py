"""A voice: what references become for one model, kept in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from myxtts.config import ModelConfig
from myxtts.digests import SEAL, tell_unhashed
from myxtts.errors import CheckpointError
from myxtts.files import write_whole
from myxtts.generation.voices import LARGEST
from myxtts.models.xtts import XTTS
from myxtts.weights.coqui_voices import is_voice_file, read_voice

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
        """Write as safetensors, whole or not at all, with the SHA-256 of its content.

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
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_whole(path, save(arrays, {**facts, SEAL: _seal(facts, arrays)}))

    @classmethod
    def load(cls, path: str | Path, model: XTTS, speaker: str | None = None) -> Voice:
        """Read a voice that was made with ``model``.

        Args:
            path: a file of :meth:`save`, or one of Coqui's programs: ``speakers_xtts.pth`` or
                latents as JSON (:mod:`myxtts.weights.coqui_voices`), which do not say of
                which model they are.
            model: that is to speak.
            speaker: name of the voice in a file of several.

        Raises:
            CheckpointError: the file is missing, damaged, is no voice, or is another model's,
                or has none of that name.
        """
        if is_voice_file(path):
            return cls.from_coqui(path, speaker, model.config.model, model.fingerprint)
        if speaker is not None:
            raise CheckpointError(f"--speaker is for files of several voices; {path} holds one.")
        try:
            with safe_open(path, framework="numpy") as file:
                facts = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if facts.get("kind") != KIND:
                raise CheckpointError(f"{path} is no voice.")
            _check_seal(path, facts, arrays)
            voice = cls(
                **_as_float32(arrays),
                model=facts["model"],
                encoder_provenance=json.loads(facts["encoder_provenance"]),
                references=tuple(json.loads(facts["references"])),
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read as a voice: {error}.") from error
        voice.require(model, str(path))
        return voice

    @classmethod
    def from_coqui(
        cls, path: str | Path, speaker: str | None, sizes: ModelConfig, fingerprint: str
    ) -> Voice:
        """The voice ``speaker`` of a file of Coqui's programs, for the model of these sizes.

        Raises:
            CheckpointError: it cannot be read, has no such voice, or that fits other sizes.
        """
        found = read_voice(path, speaker)
        pairs = (
            (found.latents, (1, sizes.conditioning.num_latents, sizes.gpt.model_dim), "latents"),
            (found.speaker_embedding, (1, sizes.speaker.embedding_dim), "a speaker embedding"),
        )
        for array, wanted, what in pairs:
            if array.shape != wanted:
                raise CheckpointError(
                    f"{path} holds {what} of shape {array.shape}; this model wants {wanted}: they "
                    "were made with another one."
                )
        return cls(found.latents, found.speaker_embedding, fingerprint)

    def require(self, model: XTTS, name: str = "the voice") -> None:
        """Raise ``CheckpointError`` unless it is a voice, and was made with ``model``.

        Or with the model that this one was quantised from.
        """
        if self.model not in (model.fingerprint, getattr(model, "quantised_from", None)):
            raise CheckpointError(
                f"{name} was made with another model (weights {self.model[:12]}, these are "
                f"{model.fingerprint[:12]}); make it again from its reference."
            )
        latents = embedding = None
        if (config := getattr(model, "config", None)) is not None:
            sizes = config.model
            latents = (1, sizes.conditioning.num_latents, sizes.gpt.model_dim)
            embedding = (1, sizes.speaker.embedding_dim)
        _check_numbers(self.latents, latents, f"{name} has latents")
        _check_numbers(self.speaker_embedding, embedding, f"{name} has a speaker embedding")


def _check_numbers(array: np.ndarray, shape: tuple[int, ...] | None, what: str) -> None:
    """Raise ``CheckpointError`` unless an array is float, of this shape, as a model makes them."""
    array = np.asarray(array)
    if shape not in (None, array.shape) or array.dtype.kind != "f":
        raise CheckpointError(f"{what} of {array.dtype} {array.shape}; float {shape} is wanted.")
    if not array.size:
        raise CheckpointError(f"{what} of no numbers, {array.shape}; make it from its reference.")
    if not np.isfinite(array).all():
        raise CheckpointError(f"{what} with NaN or infinite values; make it from its reference.")
    if np.max(np.abs(array)) > LARGEST:
        raise CheckpointError(f"{what} with values beyond {LARGEST:g}, which no voice has.")


def _as_float32(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The two arrays of a voice; those that others wrote may be half or double."""
    if set(arrays) != {"latents", "speaker_embedding"}:
        told = ", ".join(sorted(arrays)) or "nothing"
        raise ValueError(f"it holds {told} where latents and speaker_embedding are wanted")
    return {
        name: array.astype("float32", copy=False) if array.dtype.kind == "f" else array
        for name, array in arrays.items()
    }


def _check_seal(path: str | Path, facts: Mapping[str, str], arrays: Mapping) -> None:
    if SEAL not in facts:
        tell_unhashed(path)
    elif facts[SEAL] != _seal(facts, arrays):
        raise CheckpointError(
            f"{path} is damaged: its content is not what was sealed; make the voice again from "
            "its reference."
        )


def _seal(facts: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of what a voice's file says and of its arrays, whatever their order in it."""
    told = sorted((name, text) for name, text in facts.items() if name != SEAL)
    digest = hashlib.sha256(json.dumps(told).encode("utf-8"))
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
