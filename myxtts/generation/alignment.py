"""Signs in a Tacotron's attention that a text was not said as it stands, for one text."""

from __future__ import annotations

import numpy as np

# A character that never had this share of the attention was not looked at.
SEEN = 0.1
# So many of them on end are a word that was skipped.
SKIPPED = 5
# Back by more than this many characters is a repetition.
BACK = 6
# So many characters before the end the speech may be over.
UNSAID = 4
# Of the largest weight, on average: below, the attention never found its text.
FOCUS = 0.15


def centres(attention: np.ndarray) -> np.ndarray:
    """Character with most attention at each step, int ``(steps,)``."""
    return np.argmax(attention, axis=1)


def attention_flags(attention: np.ndarray, ended: bool, trusted: bool = True) -> tuple[str, ...]:
    """What is wrong with the attention ``(steps, characters)`` of a text, its end mark included.

    Args:
        attention: without padding.
        ended: whether the text came to an end of its own.
        trusted: judge the attention too; else the end alone.

    Returns:
        Of ``unfinished``, ``skips`` (coverage) and ``repeats`` (monotonicity) those that hold.
    """
    flags = [] if ended else ["unfinished"]
    if trusted and _skips(attention):
        flags.append("skips")
    if trusted and _repeats(attention):
        flags.append("repeats")
    return tuple(flags)


def _skips(attention: np.ndarray) -> bool:
    """Whether characters were passed over, the end was not reached, or there is no focus."""
    if attention.max(axis=1).mean() < FOCUS:
        return True
    characters = attention.shape[1]
    unseen = attention.max(axis=0) < SEEN
    run = longest = 0
    for place in range(characters):
        run = run + 1 if unseen[place] else 0
        longest = max(longest, run)
    return longest >= SKIPPED or int(centres(attention).max()) < characters - 1 - UNSAID


def _repeats(attention: np.ndarray) -> bool:
    """Whether the attention goes back by more than a few characters and stays there."""
    path = centres(attention)
    furthest = np.maximum.accumulate(path)
    back = furthest - path > BACK
    # One step may slip.
    return bool(np.any(back[1:] & back[:-1]))


def crossing(attention: np.ndarray, character: int) -> int:
    """First step from which the attention stays behind ``character``; the last where it never is.

    Args:
        attention: ``(steps, characters)``.
        character: its place.
    """
    before = np.flatnonzero(centres(attention) < character)
    return int(before[-1]) + 1 if len(before) else 0
