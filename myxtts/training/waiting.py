"""How long a training waits for its data."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger(__name__)

# So many batches in turn are a measurement, and such a share of waiting is told.
ENOUGH, MUCH = 100, 0.3


class Waiting:
    """Share of the time that is spent waiting for batches: the body of ``with waiting:``.

    Validations and checkpoints are no part of it: after them :meth:`begin` is called. On a device
    that works by itself, waiting and working overlap, and the share is an upper bound.

    Args:
        stage: named in the log, once, where the share is large.
        clock: seconds.
    """

    def __init__(self, stage: str, clock=time.perf_counter):
        self.stage, self.clock = stage, clock
        self._told, self._batches, self._total, self._waited = False, 0, 0.0, 0.0
        self._lately = [0.0, 0.0]
        self.begin()

    def begin(self) -> None:
        """Leave out what was done since the last batch."""
        self._last = self.clock()

    def __enter__(self) -> None:
        self._asked = self.clock()

    def __exit__(self, *error) -> None:
        now = self.clock()
        self._lately[0] += now - self._asked
        self._lately[1] += now - self._last
        self._last, self._batches = now, self._batches + 1

    def share(self) -> float:
        """Of the batches since the last call, from 0 to 1."""
        waited, total = self._lately
        self._waited, self._total, self._lately = self._waited + waited, self._total + total, [0, 0]
        if not self._told and self._batches >= ENOUGH and self._waited > MUCH * self._total:
            self._told = True
            told = "%s: %.0f %% of the time is spent waiting for data; more workers may help"
            logger.warning(told, self.stage, 100 * self._waited / self._total)
        return waited / total if total else 0.0
