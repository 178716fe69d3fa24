"""Utterances that cannot be read: another is taken in the place of each, and it is said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from myxtts.data.rtvc_folders import is_of_machine
from myxtts.errors import DataError

logger = logging.getLogger(__name__)

Read = TypeVar("Read")


class Substitutes:
    """Leaves out single utterances that turn out to be damaged when a batch wants them.

    A batch keeps its size, which replicas and accumulated gradients count on. Who takes a place
    follows from the corpus alone, so that a resumed run, and each of several processes, takes the
    same.

    Args:
        others: places that may stand in for a place, the best first.

    Attributes:
        refused: why utterances were left out, by their places in the corpus.
    """

    def __init__(self, others: Callable[[int], Iterable[int]]):
        self.others, self.refused = others, {}

    def read(self, place: int, read: Callable[[int], Read]) -> Read:
        """What ``read`` gives for a place, or for the first that stands in for it.

        Raises:
            DataError: the machine failed, not the file, or nothing can stand in.
        """
        try:
            return read(place)
        except DataError as error:
            self._leave_out(place, error)
        for other in self.others(place):
            if other != place and other not in self.refused:
                try:
                    return read(other)
                except DataError as error:
                    self._leave_out(other, error)
        raise DataError(f"no utterance can be read; the first: {self.refused[place]}")

    def _leave_out(self, place: int, error: DataError) -> None:
        if is_of_machine(error):
            raise error
        if place not in self.refused:
            self.refused[place] = str(error)
            count = len(self.refused)
            logger.warning("left out, the %d. that cannot be read: %s", count, error)
