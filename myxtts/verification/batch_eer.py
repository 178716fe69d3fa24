"""Equal error rate of one training batch, as RTVC has it: all scores of all speakers."""

from __future__ import annotations

import numpy as np


def similarity_eer(similarities: np.ndarray) -> float:
    """Where the curve of accepted against falsely accepted scores meets its falling diagonal.

    Args:
        similarities: ``(speakers, utterances, speakers)``; an utterance's own is on the diagonal.

    Returns:
        The rate, 0 to 1.
    """
    speakers, utterances, _ = similarities.shape
    own = np.repeat(np.eye(speakers, dtype=bool)[:, None], utterances, axis=1).ravel()
    scores = np.asarray(similarities, "float64").ravel()
    order = np.argsort(-scores, kind="stable")
    # Scores that are equal are accepted together.
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(own[order])[ends]
    false = (ends + 1 - hits) / max((~own).sum(), 1)
    true = hits / max(own.sum(), 1)
    false, true = np.insert(false, 0, 0.0), np.insert(true, 0, 0.0)
    above = int(np.argmax(false + true >= 1.0))
    first, second = (np.array([false[place], true[place]]) for place in (above - 1, above))
    left, right = first.sum() - 1.0, second.sum() - 1.0
    share = -left / (right - left)
    return float(first[0] + share * (second[0] - first[0]))
