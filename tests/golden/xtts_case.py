"""The golden twin of a whole XTTS: its inputs, weights and how its results are thinned out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.upstream.drawn import Arrays, sound
from benchmarks.upstream.parity import BOUNDS, Inputs
from myxtts.models.xtts import XTTS
from myxtts.text.tokenizer import VoiceBpeTokenizer
from myxtts.weights import coqui_dvae
from myxtts.weights.coqui_xtts import load_model, read_configuration


def make_inputs(seed: int = 0) -> Inputs:
    """Two references of unlike length and ten clips."""
    rng = np.random.default_rng(seed)
    references = [sound(5.3, rng), sound(2.15, rng)]
    return Inputs(references, [sound(0.6 + 0.05 * index, rng) for index in range(10)])


def load(folder: Path, weights: Arrays, dvae: Arrays) -> XTTS:
    """The model that ``config.json`` and ``vocab.json`` in ``folder`` and the weights are.

    This is :func:`myxtts.weights.coqui_xtts.convert_checkpoint` after the torch files are read.
    """
    tokenizer = VoiceBpeTokenizer(folder / "vocab.json")
    model = XTTS(read_configuration(folder / "config.json", tokenizer, dvae), tokenizer)
    coqui_dvae.load(model.dvae, dvae)
    load_model(model, weights)
    model.trained_steps = {"dvae": 1, "gpt": 1, "decoder": 1}
    return model


def thinned(arrays: Arrays, most: int = 4000) -> Arrays:
    """At most so many numbers of every near quantity, evenly spread, for a small file."""
    return {
        name: value.ravel()[:: -(-value.size // most)] if name in BOUNDS else value
        for name, value in arrays.items()
    }
