"""TensorBoard and Weights & Biases, as the settings of a voice's training ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from myxtts.settings import to_dict
from myxtts.trackers import Trackers, WandB
from tools.styletts2_kokoro.config import TrainingConfig


def open_trackers(config: TrainingConfig, folder: Path, name: str) -> Trackers:
    """Those that the settings ask for.

    Args:
        config: which, and what they are told of the run.
        folder: of the run.
        name: of the run.
    """
    makers = {}
    if config.tensorboard:
        makers["TensorBoard"] = lambda: _TensorBoard(folder)
    if config.wandb:
        project, told = config.wandb_project, to_dict(config)
        makers["Weights & Biases"] = lambda: WandB(project, name, folder, told)
    return Trackers(makers)


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def tell(self, epoch: int, scores: Mapping[str, float]) -> None:
        for name, value in scores.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
