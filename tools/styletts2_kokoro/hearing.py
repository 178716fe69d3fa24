"""Who hears a reference: Resemblyzer and ECAPA-TDNN, or StyleTTS2's style encoders.

Each gives one vector for a clip. Weights are somebody's published ones or there is no such
hearing; nothing here is ever random.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from myxtts.audio.io import read_audio
from myxtts.errors import AudioError, ConfigError, WeightsError
from myxtts.timing import SPEAKER_RATE

logger = logging.getLogger(__name__)

# Of a longer clip the beginning serves: a speaker's embedding gains little beyond it.
LONGEST_S = 12.0
SHORTEST_S = 1.0
SILENCE_DBFS = -60.0
RESEMBLYZER, ECAPA, STYLETTS2 = "resemblyzer", "ecapa", "styletts2"
BOTH = f"{RESEMBLYZER}+{ECAPA}"
SIZES = {RESEMBLYZER: 256, ECAPA: 192, STYLETTS2: 256}


class Hearing(Protocol):
    """Hears a clip.

    Attributes:
        name: of what hears, by which a map for it is found.
        provenance: where its weights came from, by part.
    """

    name: str
    provenance: dict[str, str]

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """Vector ``(size,)`` of a clip ``(samples,)`` as :func:`read_reference` gives it."""
        ...


class ResemblyzerHearing:
    """Resemblyzer's GE2E encoder, ``(256,)`` of length one.

    Raises:
        WeightsError: its weights are not installed.
    """

    name = RESEMBLYZER

    def __init__(self, device: str = "cpu") -> None:
        from tools.kokoro.resemblyzer_embedder import ResemblyzerEmbedder

        self._embedder = ResemblyzerEmbedder(device=device)
        self.provenance = {RESEMBLYZER: self._embedder.provenance}

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """See :class:`Hearing`."""
        import torch

        with torch.no_grad():
            return self._embedder.embed(torch.from_numpy(audio), SPEAKER_RATE).cpu().numpy()


class ECAPAHearing:
    """SpeechBrain's ECAPA-TDNN as this project has it in Keras, ``(192,)`` of length one.

    Raises:
        WeightsError: its weights are neither on this machine nor to be fetched.
    """

    name = ECAPA

    def __init__(self) -> None:
        # Whoever has no TensorFlow has torch here; Keras is asked before it is imported.
        os.environ.setdefault("KERAS_BACKEND", "torch")
        from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
        from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder

        self._encoder = PretrainedSpeakerEncoder("ecapa_tdnn")
        load_pretrained_speaker_encoder(self._encoder)
        self.provenance = {ECAPA: self._encoder.provenance}

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """See :class:`Hearing`."""
        from keras import ops

        lengths = np.array([len(audio)], "int32")
        return ops.convert_to_numpy(self._encoder(audio[None], lengths))[0].astype("float32")


class JoinedHearing:
    """What several hear, one behind the other: ``(sum of sizes,)``."""

    def __init__(self, parts: Sequence[Hearing]) -> None:
        self.parts = tuple(parts)
        self.name = "+".join(part.name for part in parts)
        self.provenance = {name: of for part in parts for name, of in part.provenance.items()}

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """See :class:`Hearing`."""
        return np.concatenate([part.embed(audio) for part in self.parts])


class StyleHearing:
    """StyleTTS2's two style encoders, ``(256,)``: timbre, then prosody.

    Args:
        path: a checkpoint of many speakers, after its second stage.

    Raises:
        WeightsError: it is no such checkpoint.
    """

    name = STYLETTS2

    def __init__(self, path: str | Path) -> None:
        from myxtts.digests import file_sha256
        from tools.styletts2_kokoro.style_weights import load_style_pair

        self._pair = load_style_pair(path)
        self.provenance = {STYLETTS2: f"local:{Path(path).name}@sha256:{file_sha256(path)}"}

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """See :class:`Hearing`."""
        from myxtts.audio.io import resample
        from tools.styletts2_kokoro.style_mel import SAMPLE_RATE

        return self._pair.embed(resample(audio, SPEAKER_RATE, SAMPLE_RATE))


@functools.cache
def open_speakers(name: str = "") -> Hearing:
    """The speaker encoders ``name`` says, ``resemblyzer+ecapa`` say.

    Args:
        name: parts joined by ``+``; empty for both, or for Resemblyzer alone where ECAPA-TDNN's
            weights are not to be had.

    Raises:
        ConfigError: there is no part of that name.
        WeightsError: the weights of a part are not to be had.
    """
    makers = {RESEMBLYZER: ResemblyzerHearing, ECAPA: ECAPAHearing}
    wanted = (name or BOTH).split("+")
    if unknown := set(wanted) - makers.keys():
        raise ConfigError(f"there is no speaker encoder {min(unknown)!r}; use {', '.join(makers)}.")
    parts = []
    for part in wanted:
        try:
            parts.append(makers[part]())
        except (WeightsError, ImportError) as error:
            if name or part == RESEMBLYZER:
                raise
            logger.warning("%s Resemblyzer hears alone, which costs likeness.", error)
    return parts[0] if len(parts) == 1 else JoinedHearing(parts)


def read_reference(path: str | Path, longest: float = LONGEST_S) -> np.ndarray:
    """The first seconds of a recording, silent ends cut off, float32 ``(samples,)`` at 16 kHz.

    Raises:
        AudioError: it is missing, no audio, silent, or holds less than a second of sound.
    """
    audio, _ = read_audio(path, SPEAKER_RATE, max_seconds=4 * longest)
    return prepared(audio, str(path))[: int(longest * SPEAKER_RATE)]


def prepared(audio: np.ndarray, name: str) -> np.ndarray:
    """``(samples,)`` at 16 kHz without its silent ends.

    Raises:
        AudioError: it is silent, or holds less than a second of sound.
    """
    from tools.styletts2_kokoro.style_mel import trimmed

    level = 20 * np.log10(np.sqrt(np.mean(np.square(audio))) + 1e-10)
    if level < SILENCE_DBFS:
        raise AudioError(f"{name} is silent; a recording of somebody speaking is wanted.")
    kept = trimmed(audio)
    if len(kept) < SHORTEST_S * SPEAKER_RATE:
        raise AudioError(
            f"{name} holds {len(kept) / SPEAKER_RATE:.2f} s of sound; a voice wants {SHORTEST_S:g} "
            "s or more, best ten."
        )
    return kept


def average(embeddings: np.ndarray, hearing: str) -> np.ndarray:
    """One vector ``(size,)`` of several clips' ``(clips, size)``, heard by that name.

    Of speaker embeddings the mean of each part is brought to length one again, as a single
    clip's is; styles have lengths that mean something.
    """
    mean = np.mean(embeddings, axis=0)
    if STYLETTS2 in hearing:
        return mean
    return np.concatenate([part / np.linalg.norm(part) for part in split(mean, hearing)])


def split(embedding: np.ndarray, name: str) -> list[np.ndarray]:
    """The parts of vectors ``(..., size)`` that a joined hearing of that name gives."""
    sizes = [SIZES[part] for part in name.split("+")]
    return np.split(embedding, np.cumsum(sizes)[:-1], axis=-1)
