"""Discriminators that a waveform's maker plays against (Kong et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from myxtts.losses import adversarial_loss, discriminator_loss, feature_matching_loss
from myxtts.models.discriminators import (
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
    MultiScaleDiscriminator,
)
from myxtts.training.optimizers import apply_gradients

DISCRIMINATORS = {
    "multi_period": MultiPeriodDiscriminator,
    "multi_scale": MultiScaleDiscriminator,
    "multi_resolution": MultiResolutionDiscriminator,
}


class Adversary:
    """Judges of one objective.

    Args:
        kinds: of :data:`DISCRIMINATORS`.
        width: of their channels, as a multiple of the published.
        objective: ``least_squares`` or ``hinge``.

    Attributes:
        judges: the discriminators.
    """

    def __init__(self, kinds: Sequence[str], width: float, objective: str):
        self.objective = objective
        self.judges = [DISCRIMINATORS[kind](channels=width, name=kind) for kind in kinds]
        for item in self.judges:
            item.build((None, None, 1))

    @property
    def variables(self) -> list:
        """All of the judges."""
        return [variable for item in self.judges for variable in item.variables]

    @property
    def trainable_variables(self) -> list:
        """Those that learn."""
        return [variable for item in self.judges for variable in item.trainable_variables]

    def fooled(self, real, fake, skipped: int | tf.Tensor = 0) -> tuple:
        """The maker's adversarial and feature-matching loss.

        Args:
            real, fake: waveforms ``(batch, samples)``.
            skipped: so many rows, the first, have no recording whose features they should match.
        """
        judged = self._judge(fake)
        rendered = tf.nest.map_structure(lambda item: item[skipped:], judged)
        features = feature_matching_loss(self._judge(real[skipped:]), rendered)
        return adversarial_loss(judged, self.objective), features

    def loss(self, real, fake):
        """The judges' own loss of waveforms ``(batch, samples)``."""
        return discriminator_loss(self._judge(real), self._judge(fake), self.objective)

    def learn(self, group: tuple, real, fake):
        """Lower that loss by a step of the ``(optimizer, variables)``; returns it."""
        with tf.GradientTape() as tape:
            loss = self.loss(real, tf.stop_gradient(fake))
        apply_gradients([group], tape, loss)
        return loss

    def _judge(self, wave) -> list:
        wave = wave[..., None]
        return [output for item in self.judges for output in item(wave)]


def once_started(optimizer, training, playing: Callable[[], Any], before):
    """Result of ``playing()`` once ``training.adversarial_start`` steps are made, else ``before``.

    Args:
        optimizer: of what the judges hear; its steps count, not batches of which several are one.
        training: settings of the run.
        playing: gives tensors of the structure of ``before``.
        before: what holds until then.
    """
    return tf.cond(optimizer.iterations >= training.adversarial_start, playing, lambda: before)
