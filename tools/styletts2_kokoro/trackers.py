"""TensorBoard and Weights & Biases: told the scores, and never a reason for a run to fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from myxtts.settings import to_dict
from tools.styletts2_kokoro.config import TrainingConfig

logger = logging.getLogger(__name__)


class Trackers:
    """Those that the settings ask for. One that fails is named in the log and asked no more.

    Args:
        config: which, and what they are told of the run.
        folder: of the run.
        name: of the run.
    """

    def __init__(self, config: TrainingConfig, folder: Path, name: str) -> None:
        wanted = {"TensorBoard": config.tensorboard, "Weights & Biases": config.wandb}
        makers = {"TensorBoard": _TensorBoard, "Weights & Biases": _WandB}
        self._open: dict[str, Any] = {}
        for tracker in (tracker for tracker, is_wanted in wanted.items() if is_wanted):
            made = self._try(tracker, lambda maker=makers[tracker]: maker(config, folder, name))
            if made is not None:
                self._open[tracker] = made

    def tell(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Scores by name of an epoch."""
        self._each(lambda tracker: tracker.tell(epoch, scores))

    def close(self) -> None:
        """Bring everything to where it goes."""
        self._each(lambda tracker: tracker.close())

    def _each(self, call: Callable[[Any], None]) -> None:
        for name, tracker in list(self._open.items()):
            self._try(name, lambda tracker=tracker: call(tracker))

    def _try(self, name: str, call: Callable[[], Any]) -> Any:
        # A tracker's library, its server and its settings are not this program's; whatever they
        # raise, and wandb ends the program in some cases, the training goes on.
        try:
            return call()
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._open.pop(name, None)
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            logger.warning("%s is not told of this run: %s", name, reason)
            return None


class _TensorBoard:
    def __init__(self, config: TrainingConfig, folder: Path, name: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def tell(self, epoch: int, scores: Mapping[str, float]) -> None:
        for name, value in scores.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _WandB:
    def __init__(self, config: TrainingConfig, folder: Path, name: str) -> None:
        import wandb

        self._run = wandb.init(
            project=config.wandb_project, name=name, dir=str(folder), config=to_dict(config)
        )

    def tell(self, epoch: int, scores: Mapping[str, float]) -> None:
        self._run.log(dict(scores), step=epoch)

    def close(self) -> None:
        self._run.finish()
