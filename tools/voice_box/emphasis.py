"""Let a decoder tell speakers further apart than it has learned to.

A decoder that has heard few speakers for a short while says of each one a little too much of the
mean of all. What its layers hear of a speaker is an affine function of the speaker embedding, so
that the distance from the mean can be stretched in their weights, and nothing else changes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from myxtts.data.formats import Utterance
from myxtts.errors import AudioError, ConfigError, DataError
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.layer import of_power_one
from myxtts.models.xtts import XTTS

logger = logging.getLogger(__name__)


def emphasise(model: XTTS, mean: np.ndarray, factor: float) -> None:
    """Stretch what the decoder hears of a speaker.

    Args:
        model: with an istft decoder.
        mean: of the speaker embeddings as the decoder's layers hear them, ``(speaker_dim,)``.
        factor: of the distance from it.

    Raises:
        ConfigError: the decoder is of another kind.
    """
    decoder = model.decoder
    if not hasattr(decoder, "speaker_in"):
        raise ConfigError("speakers are emphasised in an istft decoder; this one is another.")
    pairs = [(layer, layer) for layer in (decoder.speaker_in, *decoder.conds)]
    if decoder.harmonic:
        # It has no bias of its own: that of the layer it is added to.
        pairs.append((decoder.pitch_head.speaker_in, decoder.pitch_head.widen))
    for layer, biased in pairs:
        kernel = np.asarray(layer.kernel)
        biased.bias.assign(biased.bias + (1.0 - factor) * (mean @ kernel))
        layer.kernel.assign(factor * kernel)


def mean_speaker(model: XTTS, utterances: Sequence[Utterance], count: int) -> np.ndarray:
    """Mean embedding of at most ``count`` speakers, evenly spread, by one utterance of each.

    Args:
        model: hears them.
        utterances: of a corpus.
        count: speakers.

    Raises:
        DataError: no recording can be heard.
    """
    clips: dict[str, list[Path]] = {}
    for item in utterances:
        clips.setdefault(item.speaker, []).append(item.path)
    chosen = sorted(clips)[:: max(1, len(clips) // count)][:count]
    synthesizer = Synthesizer(model)
    bar = tqdm(chosen, desc="speakers", delay=2, disable=None)
    heard = [row for name in bar if (row := _heard(synthesizer, clips[name])) is not None]
    if not heard:
        raise DataError("no recording of the corpus can be heard.")
    return np.asarray(of_power_one(np.concatenate(heard))).mean(axis=0)


def _heard(synthesizer: Synthesizer, paths: Sequence[Path]) -> np.ndarray | None:
    """A speaker by the first recording that can be used, None by none; the others are named."""
    for path in paths:
        try:
            return np.asarray(synthesizer.condition([path]).speaker_embedding)
        except AudioError as error:
            logger.warning("left out: %s", error)
    return None
