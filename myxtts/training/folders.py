"""What lies in the folder of a run, for those who ask before TensorFlow is there."""

from __future__ import annotations

from pathlib import Path


def has_checkpoints(run_dir: Path, stage: str) -> bool:
    """Whether a stage of the run can be gone on with."""
    return any((run_dir / "checkpoints" / stage).glob("step-*"))
