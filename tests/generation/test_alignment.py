"""What an attention shows to be wrong with the speech."""

import numpy as np
import pytest

from myxtts.generation.alignment import attention_flags, crossing


def along(path, characters=20) -> np.ndarray:
    attention = np.full((len(path), characters), 0.01)
    attention[np.arange(len(path)), path] = 0.8
    return attention


STRAIGHT = [place for place in range(20) for _ in range(3)]


@pytest.mark.parametrize(
    ("path", "ended", "flags"),
    [
        (STRAIGHT, True, ()),
        (STRAIGHT, False, ("unfinished",)),
        ([p for p in STRAIGHT if not 5 <= p < 12], True, ("skips",)),
        (STRAIGHT[:30], True, ("skips",)),
        (STRAIGHT[:45] + STRAIGHT[15:], True, ("repeats",)),
        # One step may slip, a look ahead as well.
        (STRAIGHT[:30] + [1] + STRAIGHT[30:], True, ()),
        (STRAIGHT[:30] + [12] + STRAIGHT[30:], True, ()),
    ],
)
def test_flags(path, ended, flags):
    assert attention_flags(along(path), ended) == flags


def test_an_attention_without_focus_skips():
    assert attention_flags(np.full((40, 20), 0.05), True) == ("skips",)
    assert attention_flags(np.full((40, 20), 0.05), True, trusted=False) == ()


def test_where_a_character_is_passed():
    assert crossing(along(STRAIGHT), 7) == 21
    assert crossing(along(STRAIGHT), 0) == 0
