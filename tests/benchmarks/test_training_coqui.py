"""A training step beside Coqui's: what is told of the turns, and that both sides are compared."""

import pytest

from benchmarks import training_coqui
from myxtts.errors import MyXTTSError

ROWS = {
    "coqui": [(4.0, 3.0), (6.0, 3.0), (8.0, 3.0)],
    "ours": [(2.0, 1.0), (2.0, 1.5), (2.0, 2.0)],
    "ours_xla": [(1.0, 1.0), (1.0, 1.0), (1.0, 1.0)],
}


class Losses:
    """A side whose losses are known."""

    def __init__(self, value: float):
        self.value = value

    def call(self, name: str, *arguments) -> float:
        return self.value


def test_ratios_are_those_of_each_round():
    found = training_coqui.summary(ROWS, "_cached")
    assert found["seconds_cached"] == {"coqui": 6.0, "ours": 2.0, "ours_xla": 1.0}
    assert found["ratio_cached"] == 3.0 and found["range_cached"] == [2.0, 4.0]
    assert found["processor_ratio_cached"] == 2.0 and found["aim_cached"] == 3.0
    assert found["ratio_xla_cached"] == 6.0 and "aim" not in found


def test_sides_that_lose_otherwise_are_not_compared():
    sides = {"coqui": Losses(2.0), "ours": Losses(2.0004)}
    assert training_coqui.agreement("gpt", sides) == pytest.approx(2e-4)
    with pytest.raises(MyXTTSError, match="gpt: the losses are 2 and 2.1: not the same"):
        training_coqui.agreement("gpt", {**sides, "ours": Losses(2.1)})
