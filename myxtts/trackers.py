"""Trackers of training runs: told the figures, and never a reason for a run to fail.

Their packages are optional, and imported when a run asks for them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

COMET_KEY = "COMET_API_KEY"
VISDOM_PORT = 8097


class Tracker(Protocol):
    """What is told of a run."""

    def tell(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures by name of a step."""

    def close(self) -> None:
        """Bring everything to where it goes."""


class Trackers:
    """Those that a run asks for. One that fails is named in the log and asked no more.

    Args:
        makers: functions that make them, by the names they have in the log.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Tracker]] | None = None) -> None:
        self._open: dict[str, Tracker] = {}
        for name, make in (makers or {}).items():
            made = self._try(name, make)
            if made is not None:
                self._open[name] = made

    def tell(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures by name of a step."""
        self._each(lambda tracker: tracker.tell(step, figures))

    def close(self) -> None:
        """Bring everything to where it goes."""
        self._each(lambda tracker: tracker.close())

    def _each(self, call: Callable[[Tracker], None]) -> None:
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
            if isinstance(error, ModuleNotFoundError):
                reason = f"{error.name} is not installed"
            logger.warning("%s is not told of this run: %s", name, reason)
            return None


class WandB:
    """Weights & Biases; the key is ``WANDB_API_KEY``, or what ``wandb login`` left.

    Args:
        project: there.
        name: of the run.
        folder: of the run, for the files that wandb keeps.
        settings: of the run, plain values.
    """

    def __init__(self, project: str, name: str, folder: Path, settings: Mapping) -> None:
        import wandb

        self._run = wandb.init(project=project, name=name, dir=str(folder), config=dict(settings))

    def tell(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        self._run.finish()


class Comet:
    """Comet; the key is ``COMET_API_KEY``. Nothing is sent but settings and figures.

    Args:
        project: there.
        name: of the run.
        settings: of the run, plain values.

    Raises:
        RuntimeError: there is no key, for which the library would ask at the terminal.
    """

    def __init__(self, project: str, name: str, settings: Mapping) -> None:
        import comet_ml

        key = os.environ.get(COMET_KEY)
        if not key:
            raise RuntimeError(f"{COMET_KEY} is not in the environment")
        # By itself it would send source files, the command line and all that is printed.
        own = comet_ml.ExperimentConfig(
            name=name,
            display_summary_level=0,
            log_code=False,
            log_graph=False,
            parse_args=False,
            log_git_metadata=False,
            log_git_patch=False,
            log_env_details=False,
            auto_output_logging=False,
            auto_param_logging=False,
            auto_metric_logging=False,
            auto_log_co2=False,
        )
        self._run = comet_ml.start(
            api_key=key, project_name=project, mode="create", experiment_config=own
        )
        self._run.log_parameters(dict(settings))

    def tell(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log_metrics(dict(figures), step=step)

    def close(self) -> None:
        self._run.end()


class Visdom:
    """Curves on a visdom server, in an environment of the run's name.

    Args:
        server: its address, ``http://localhost:8097`` say; 8097 is its port where none is named.
        name: of the run.

    Raises:
        RuntimeError: no such server answers.
    """

    def __init__(self, server: str, name: str) -> None:
        import visdom

        parts = urlsplit(server if "//" in server else f"http://{server}")
        host = f"{parts.scheme}://{parts.hostname}"
        port = parts.port or VISDOM_PORT
        # Nothing is asked of its page, so that no thread listens to it.
        own = {"env": name, "use_incoming_socket": False, "raise_exceptions": True}
        try:
            self._board = visdom.Visdom(server=host, port=port, **own)
            answers = self._board.check_connection()
        except OSError:
            answers = False
        if not answers:
            raise RuntimeError(
                f"no visdom server answers at {host}:{port}; `python -m visdom.server` starts one"
            )

    def tell(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            shown = {"title": name, "xlabel": "step"}
            self._board.line(Y=[value], X=[step], win=name, update="append", opts=shown)

    def close(self) -> None:
        self._board.save([self._board.env])
