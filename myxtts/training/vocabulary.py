"""A model grows with its text vocabulary."""

from __future__ import annotations

import numpy as np

from myxtts.errors import CheckpointError
from myxtts.models.xtts import XTTS
from myxtts.presets.variables import named_parts
from myxtts.text.tokenizer import VoiceBpeTokenizer

# Variables with an entry for each text id, and the axis that counts them.
GROWING = {
    "gpt/text_embedding/embeddings": 0,
    "gpt/text_head/kernel": 1,
    "gpt/text_head/bias": 0,
}


def grow_vocabulary(model: XTTS, tokenizer: VoiceBpeTokenizer) -> XTTS:
    """A copy of ``model`` with the vocabulary ``tokenizer``, whose first ids are the model's.

    The GPT's text embedding and text head grow together. A new entry begins as the mean
    of the entries it was spelled with, which is what the model knows of it; one that could
    not be spelled, as the mean of all; a language, as the mean of the languages.

    Raises:
        CheckpointError: an old token has another id in ``tokenizer``.
    """
    old = model.tokenizer
    parents = _spellings(old, tokenizer)
    size = max(model.gpt.num_text_tokens, tokenizer.vocab_size)
    grown = XTTS(model.config.merged({"model": {"gpt": {"num_text_tokens": size}}}), tokenizer)
    weights, targets = named_parts(model.parts()), named_parts(grown.parts())
    for name, variable in targets.items():
        value = np.asarray(weights[name])
        if name in GROWING:
            rows = np.moveaxis(value, GROWING[name], 0)
            rows = _grown(rows, parents, old.vocab_size, size)
            value = np.moveaxis(rows, 0, GROWING[name])
        variable.assign(value)
    grown.take_record(model)
    return grown


def _spellings(old: VoiceBpeTokenizer, new: VoiceBpeTokenizer) -> dict[int, list[int]]:
    """For each new id, the old ids that spell it; none where there are none."""
    before, after = old.vocabulary, new.vocabulary
    moved = [token for token, number in before.items() if after.get(token) != number]
    if moved:
        raise CheckpointError(f"the vocabulary gives {moved[0]!r} another id than the model's.")
    languages = [before[f"[{name}]"] for name in old.languages]
    names = {f"[{name}]" for name in new.languages}
    return {
        number: languages if token in names else old.spell(token)
        for token, number in after.items()
        if token not in before
    }


def _grown(rows: np.ndarray, parents: dict[int, list[int]], used: int, size: int) -> np.ndarray:
    grown = np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])
    for number, spelling in parents.items():
        grown[number] = rows[spelling or slice(used)].mean(axis=0)
    return grown
