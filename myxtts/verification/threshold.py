"""Measured thresholds of speaker verification: files of them, shipped ones, and a preset's."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from myxtts.digests import SEAL, check_seal, sealed
from myxtts.errors import CheckpointError
from myxtts.files import write_whole

logger = logging.getLogger(__name__)

# A preset's threshold lies in its folder under this name.
THRESHOLD_FILE = "verification.json"
SHIPPED_THRESHOLDS = Path(__file__).with_name("thresholds.json")


@dataclass(frozen=True)
class Threshold:
    """A score from which two clips count as one speaker, and how it was measured.

    Attributes:
        value: the score at the equal error rate.
        eer: equal error rate there, in percent.
        min_dcf: least detection cost at a target share of 0.01.
        trials: number of trials.
        measured_on: name of the set.
        provenance: of the encoder's weights; ends in their sha256.
        trimmed: whether long silences were cut out of the clips.
    """

    value: float
    eer: float
    min_dcf: float
    trials: int
    measured_on: str
    provenance: str
    trimmed: bool = False

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all.

        Raises:
            CheckpointError: the file cannot be written.
        """
        write_whole(path, json.dumps(sealed(asdict(self)), indent=2) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Threshold:
        """Read what :meth:`save` wrote.

        Raises:
            CheckpointError: the file is missing or no threshold.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            check_seal(values, path)
            found = cls(**{name: value for name, value in values.items() if name != SEAL})
            if not np.isfinite([found.value, found.eer, found.min_dcf, found.trials]).all():
                raise ValueError("it holds numbers that are not finite")
            return found
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{path} is no measured threshold: {error}.") from error

    def fits(self, provenance: str) -> bool:
        """Whether it was measured with weights of the same sha256."""
        return "@sha256:" in provenance and _digest(self.provenance) == _digest(provenance)


def shipped_threshold(
    encoder_type: str, provenance: str, trimmed: bool = False
) -> Threshold | None:
    """The threshold measured with these very weights of a named encoder, if one is shipped."""
    shipped = json.loads(SHIPPED_THRESHOLDS.read_text(encoding="utf-8"))
    thresholds = [Threshold(**values) for values in shipped.get(encoder_type, [])]
    fitting = (item for item in thresholds if item.fits(provenance) and item.trimmed == trimmed)
    return next(fitting, None)


def preset_threshold(folder: str | Path, provenance: str) -> Threshold | None:
    """The threshold stored in a preset's folder; a stale one is ignored with a warning."""
    path = Path(folder) / THRESHOLD_FILE
    if not path.is_file():
        return None
    try:
        threshold = Threshold.load(path)
    except CheckpointError as error:
        logger.warning("%s It is ignored.", error)
        return None
    if not threshold.fits(provenance):
        logger.warning("%s was measured with other weights and is ignored.", path)
        return None
    return threshold


def _digest(provenance: str) -> str:
    return provenance.rpartition("@sha256:")[2]
