"""How a fit finds its way down: four methods with the same calls.

A method proposes coordinates ``(components,)``, has the objective speak them and moves on:
``step`` raises :class:`Diverged` where there is no number to go by. Its ``state`` is plain
tensors, lists and numbers, so that a run that ``restore`` resumes goes on as if it had not
stopped.
"""

from __future__ import annotations

import copy
import math
import sys
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch

from myxtts.errors import ConfigError
from tools.kokoro_voice.config import OptimizerConfig
from tools.kokoro_voice.objective import Measurement, Objective

# An evolution strategy ranks its points: a voice that gave no number comes last.
WORST_LOSS = 1e6


class Diverged(Exception):
    """The loss or its gradient is no longer a number."""


class GradientDescent(ABC):
    """Adam or AdamW on a slope that the children find."""

    def __init__(self, objective: Objective, config: OptimizerConfig, start: np.ndarray) -> None:
        self.objective, self.config = objective, config
        self._point = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32))
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        self._optimizer = kinds[config.optimizer_type]([self._point], lr=config.learning_rate)
        self._schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self._optimizer, factor=0.5, patience=config.plateau or sys.maxsize, threshold=0
        )

    @property
    def coordinates(self) -> np.ndarray:
        """Where the search stands, float32 ``(components,)``."""
        return self._point.detach().numpy().copy()

    def step(self, iteration: int) -> Measurement:
        """Speak, move on, and tell a point that was spoken."""
        measured, slope = self.slope(self.coordinates, iteration)
        if not (math.isfinite(measured.loss) and np.isfinite(slope).all()):
            raise Diverged
        self._point.grad = torch.from_numpy(np.asarray(slope, "float32"))
        self._optimizer.step()
        self._schedule.step(measured.loss)
        return measured

    @abstractmethod
    def slope(self, point: np.ndarray, iteration: int) -> tuple[Measurement, np.ndarray]:
        """A point at or beside ``point`` that was spoken, and the gradient ``(components,)``."""

    def state(self) -> dict[str, Any]:
        # All go on changing in place.
        parts = {"adam": self._optimizer, "schedule": self._schedule}
        state = {name: part.state_dict() for name, part in parts.items()}
        return copy.deepcopy({"point": self._point.detach(), **state})

    def restore(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self._point.copy_(state["point"])
        self._optimizer.load_state_dict(state["adam"])
        self._schedule.load_state_dict(state["schedule"])


class Autograd(GradientDescent):
    """Back-propagation through Kokoro: one synthesis a text and step."""

    def __init__(self, objective: Objective, config: OptimizerConfig, start: np.ndarray) -> None:
        if not objective.backend.differentiable:
            raise ConfigError(
                f"the {objective.backend.name} backend passes no gradients for autograd; take "
                "--backend kmodel, or --gradient-method spsa."
            )
        # Through the phase of Kokoro's sines the gradient is exact and of no use: on a real
        # voice three hundred times longer than the rest of it, and good for no step at all.
        if hasattr(objective.backend, "source_gradient"):
            objective.backend.source_gradient = False
        super().__init__(objective, config, start)

    def slope(self, point: np.ndarray, iteration: int) -> tuple[Measurement, np.ndarray]:
        return self.objective.measure_with_gradient(point)


class FiniteDifferences(GradientDescent):
    """Forward differences: one synthesis more than there are coordinates, a text and step."""

    def slope(self, point: np.ndarray, iteration: int) -> tuple[Measurement, np.ndarray]:
        epsilon = np.float32(self.config.fd_epsilon)
        beside = point + epsilon * np.eye(len(point), dtype="float32")
        here, *moved = self.objective.measure(np.concatenate([point[None], beside]))
        return here, (np.array([there.loss for there in moved]) - here.loss) / epsilon


class Spsa(GradientDescent):
    """Simultaneous perturbation (Spall 1992): two syntheses a text and step."""

    def slope(self, point: np.ndarray, iteration: int) -> tuple[Measurement, np.ndarray]:
        draw = np.random.default_rng([self.config.seed, iteration])
        signs = draw.choice(np.array([-1, 1], "float32"), len(point))
        epsilon = np.float32(self.config.fd_epsilon)
        probes = point + epsilon * np.stack([signs, -signs])
        ahead, behind = self.objective.measure(probes)
        slope = (ahead.loss - behind.loss) / (2 * epsilon) * signs
        return min(ahead, behind, key=lambda probe: probe.loss), slope


class Cma:
    """CMA-ES (Hansen 2016, package ``cma``): one generation a step."""

    def __init__(self, objective: Objective, config: OptimizerConfig, start: np.ndarray) -> None:
        if len(start) < 2:
            raise ConfigError("--gradient-method cma wants at least two PCA components.")
        self.objective, self.config = objective, config
        self._start = np.asarray(start, "float64")
        self._begin()

    @property
    def coordinates(self) -> np.ndarray:
        return np.asarray(self._strategy.mean, "float32")

    def step(self, iteration: int) -> Measurement:
        points = self._strategy.ask()
        measured = self.objective.measure(np.asarray(points, "float32"))
        losses = [one.loss if math.isfinite(one.loss) else WORST_LOSS for one in measured]
        best = int(np.argmin(losses))
        if losses[best] == WORST_LOSS:
            raise Diverged
        self._tell(points, losses)
        return measured[best]

    def state(self) -> dict[str, Any]:
        return {"told": [list(losses) for losses in self._told]}

    def restore(self, state: dict[str, Any]) -> None:
        # The same seed asks the same questions again: the old answers rebuild the strategy.
        self._begin()
        for losses in state["told"]:
            self._tell(self._strategy.ask(), losses)

    def _begin(self) -> None:
        cma = _import_cma()
        draw = np.random.default_rng(self.config.seed)
        options = {
            "randn": lambda *shape: draw.standard_normal(shape),
            "seed": math.nan,  # the generator above is its only source
            "verbose": -9,
        }
        sigma = self.config.cma_sigma
        self._strategy = cma.CMAEvolutionStrategy(self._start, sigma, options)
        self._told: list[list[float]] = []

    def _tell(self, points: list[np.ndarray], losses: list[float]) -> None:
        self._strategy.tell(points, losses)
        self._told.append(losses)


def _import_cma():
    try:
        import cma
    except ImportError as error:
        raise ConfigError("--gradient-method cma needs a package: pip install cma.") from error
    return cma


METHODS: dict[str, type[GradientDescent | Cma]] = {
    "autograd": Autograd,
    "finite-diff": FiniteDifferences,
    "spsa": Spsa,
    "cma": Cma,
}
