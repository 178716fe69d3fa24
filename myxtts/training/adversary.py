"""Discriminators that a waveform's maker plays against (Kong et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from myxtts.losses import adversarial_loss, discriminator_loss, feature_matching_loss
from myxtts.models.discriminators import (
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
    MultiScaleDiscriminator,
)
from myxtts.training.optimizers import gradients_of, step_down

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

    def play(self, real, fake, skipped: int | tf.Tensor = 0) -> tuple:
        """What maker and judges lose by one judgement of waveforms ``(batch, samples)``.

        Args:
            real, fake: recordings, and what was made.
            skipped: so many rows, the first, have no recording whose features they should match.

        Returns:
            The maker's adversarial and feature-matching loss, and the judges' own.
        """
        heard, judged = self._judge(real), self._judge(fake)
        matched = [tf.nest.map_structure(lambda item: item[skipped:], of) for of in (heard, judged)]
        return (
            adversarial_loss(judged, self.objective),
            feature_matching_loss(*matched),
            discriminator_loss(heard, judged, self.objective),
        )

    def _judge(self, wave) -> list:
        wave = wave[..., None]
        return [output for item in self.judges for output in item(wave)]


@dataclass(frozen=True)
class Judgement:
    """What judges say of a batch.

    Attributes:
        adversarial, features, judged: losses of :meth:`Adversary.play`.
        made: the first two, weighted: what the maker loses by it.
        pull: gradient of that to the waveforms that were made.
        gradients: of ``judged`` to the judges' variables.
    """

    adversarial: tf.Tensor
    features: tf.Tensor
    judged: tf.Tensor
    made: tf.Tensor
    pull: tf.Tensor
    gradients: list


class Game:
    """Steps of a maker and of its judges, who come in later.

    Both step by one judgement: the maker's step leaves the judges as they are, so that nothing
    would be heard otherwise the second time. A step without judges and one with them are two
    graphs, since ``tf.cond`` takes minutes to be traced with its gradients.

    Args:
        adversary: the judges.
        groups: ``(optimizer, variables)`` of the maker and of the judges.
        start: steps of the maker before the judges come; as many of its optimizer's steps count,
            not batches of which several are one.
        steps: of the whole run.

    Attributes:
        plays: whether the judges come at all.
    """

    def __init__(self, adversary: Adversary, groups: Sequence[tuple], start: int, steps: int):
        self.adversary, self.groups = adversary, list(groups)
        self.start, self.plays = start, start < steps

    @property
    def is_on(self) -> bool:
        """Whether the judges have come; of a step that is being traced, by what is so then."""
        with tf.init_scope():
            return self.plays and int(self.groups[0][0].iterations) >= self.start

    def play(
        self, real, fake, feature_weight: float, skipped: int | tf.Tensor = 0
    ) -> Judgement | None:
        """One judgement of waveforms ``(batch, samples)``; None until the judges come.

        Args:
            real, fake: recordings, and what was made.
            feature_weight: of the feature-matching loss in the maker's.
            skipped: see :meth:`Adversary.play`.
        """
        if not self.is_on:
            return None
        # A tape of the judgement alone: what the judges lose is not followed into the maker.
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(fake)
            adversarial, features, judged = self.adversary.play(real, fake, skipped)
            made = adversarial + feature_weight * features
        gradients = gradients_of(self.groups[1:], tape, judged)
        return Judgement(adversarial, features, judged, made, tape.gradient(made, fake), gradients)

    def step(self, tape: tf.GradientTape, loss, fake, judgement: Judgement | None) -> dict:
        """Lower what the maker loses, and what the judges do.

        Args:
            tape: has seen ``loss`` and ``fake`` come about.
            loss: of the maker, but for what the judges say.
            fake: what was judged.
            judgement: of it.

        Returns:
            ``loss`` of the maker, ``adversarial_loss``, ``feature_loss``, ``discriminator_loss``,
            and the ``gradient_norm`` of the maker.
        """
        maker, judges = self.groups[:1], self.groups[1:]
        if judgement is None:
            told = dict.fromkeys(("adversarial_loss", "feature_loss", "discriminator_loss"), 0.0)
            norm = step_down(maker, gradients_of(maker, tape, loss))
            return {"loss": loss, **told, "gradient_norm": norm}
        seeds = [tf.ones_like(loss), judgement.pull]
        norm = step_down(maker, gradients_of(maker, tape, [loss, fake], seeds))
        step_down(judges, judgement.gradients)
        return {
            "loss": loss + judgement.made,
            "adversarial_loss": judgement.adversarial,
            "feature_loss": judgement.features,
            "discriminator_loss": judgement.judged,
            "gradient_norm": norm,
        }
