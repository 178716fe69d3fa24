"""AdamW with warm-up, cosine decay, clipping and gradient accumulation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from myxtts import replicas
from myxtts.config import StageConfig, TrainingConfig

BETA_1, BETA_2 = 0.9, 0.96
# Weight decay pulls on kernels only.
NOT_DECAYED = ("bias", "scale", "gamma", "beta", "embeddings", "latents")


@keras.saving.register_keras_serializable("myxtts")
@dataclasses.dataclass(eq=False)
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then a cosine down to a fraction of the peak.

    Args:
        peak: highest learning rate.
        warmup_steps: optimiser steps until the peak.
        total_steps: optimiser steps until the end of the decay.
        final_fraction: of the peak, from ``total_steps`` on.
        accumulation: batches an optimiser step; Keras gives a schedule the batches.
    """

    peak: float
    warmup_steps: int
    total_steps: int
    final_fraction: float
    accumulation: int = 1

    def __call__(self, step):
        done = ops.floor(ops.cast(step, "float32") / self.accumulation)
        warmup = (done + 1.0) / max(self.warmup_steps, 1)
        span = max(self.total_steps - self.warmup_steps, 1)
        progress = ops.clip((done - self.warmup_steps) / span, 0.0, 1.0)
        cosine = 0.5 * (1.0 + ops.cos(math.pi * progress))
        decay = self.final_fraction + (1.0 - self.final_fraction) * cosine
        return self.peak * ops.minimum(warmup, decay)

    def get_config(self) -> dict:
        return dataclasses.asdict(self)


class Slowed(keras.optimizers.schedules.LearningRateSchedule):
    """A share of another schedule that may change while it runs.

    Args:
        schedule: the other one.
        share: a variable.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, share):
        self.schedule, self.share = schedule, share

    def __call__(self, step):
        return self.schedule(step) * ops.cast(self.share, "float32")


class Since(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, whose first step is not the optimizer's.

    Args:
        schedule: the other one.
        counted: a variable: optimiser steps that were counted before.
        accumulation: batches an optimiser step.
    """

    def __init__(self, schedule, counted, accumulation: int = 1):
        self.schedule, self.counted, self.accumulation = schedule, counted, accumulation

    def __call__(self, step):
        return self.schedule(ops.cast(step, "int64") - self.counted * self.accumulation)


class TorchAdam(keras.optimizers.Adam):
    """Adam (Kingma & Ba 2014) with epsilon where torch and the paper's algorithm have it.

    Keras adds it before the second moment is corrected, so that in the first steps it counts
    thirty times as much, and the smallest gradients move less.
    """

    def update_step(self, gradient, variable, learning_rate):
        place = self._get_variable_index(variable)
        mean, square = self._momentums[place], self._velocities[place]
        gradient = ops.cast(gradient, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        mean.assign(self.beta_1 * mean + (1.0 - self.beta_1) * gradient)
        square.assign(self.beta_2 * square + (1.0 - self.beta_2) * ops.square(gradient))
        root = ops.sqrt(square) / ops.sqrt(1.0 - ops.power(self.beta_2, step)) + self.epsilon
        rate = ops.cast(learning_rate, variable.dtype) / (1.0 - ops.power(self.beta_1, step))
        variable.assign_sub(rate * mean / root)


def make_optimizer(
    stage: StageConfig,
    training: TrainingConfig,
    variables: list,
    share: keras.Variable | None = None,
):
    """AdamW for one stage, built for ``variables``.

    Gradients of ``training.gradient_accumulation`` batches are averaged before they are
    clipped to the global norm ``training.gradient_clip`` and applied. With ``share`` the rate is
    that share of what it would be.
    """
    accumulation = training.gradient_accumulation
    schedule = WarmupCosine(
        stage.learning_rate,
        stage.warmup_steps,
        stage.steps,
        stage.final_lr_fraction,
        accumulation,
    )
    optimizer = keras.optimizers.AdamW(
        schedule if share is None else Slowed(schedule, share),
        weight_decay=training.weight_decay,
        beta_1=BETA_1,
        beta_2=BETA_2,
        global_clipnorm=training.gradient_clip,
        gradient_accumulation_steps=accumulation if accumulation > 1 else None,
    )
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if v.name in NOT_DECAYED])
    optimizer.build(variables)
    return optimizer


def set_steps(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Let ``optimizer.iterations`` be ``steps``, whatever batches a step has."""
    # What Keras keeps is the number of batches; ``iterations`` divides it.
    optimizer._iterations.assign(steps * (optimizer.gradient_accumulation_steps or 1))


def apply_gradients(groups: list[tuple], tape: tf.GradientTape, loss):
    """Step every ``(optimizer, variables)`` down the gradient of ``loss``.

    Returns:
        The global norm of all gradients, before any clipping.
    """
    return step_down(groups, gradients_of(groups, tape, loss))


def gradients_of(
    groups: list[tuple], tape: tf.GradientTape, loss, seeds: list | None = None
) -> list[tf.Tensor | None]:
    """Gradients of ``loss`` to all variables of ``(optimizer, variables)``.

    Args:
        groups: of them.
        tape: has seen the loss come about.
        loss: a tensor, or several.
        seeds: gradients of what is lowered to each of several; ones by default.
    """
    variables = [variable.value for _, group in groups for variable in group]
    # Of an embedding's rows, too, as one tensor: an id that comes twice has one gradient, and the
    # norm that is clipped is of that.
    return [
        gradient if gradient is None else tf.convert_to_tensor(gradient)
        for gradient in tape.gradient(loss, variables, output_gradients=seeds)
    ]


def step_down(groups: list[tuple], gradients: list[tf.Tensor | None]):
    """Step every ``(optimizer, variables)`` down its gradients.

    Replicas that share a batch step down the gradient of the whole batch, and clip that.

    Returns:
        The global norm of all gradients, before any clipping.
    """
    variables = [variable.value for _, group in groups for variable in group]
    gradients = replicas.current().averaged(gradients, variables)
    start = 0
    for optimizer, group in groups:
        optimizer.apply(gradients[start : start + len(group)], group)
        start += len(group)
    return tf.linalg.global_norm([gradient for gradient in gradients if gradient is not None])


def begin_means(optimizer: keras.optimizers.Optimizer, variables: list) -> None:
    """Let the running means of ``use_ema`` begin with what ``variables`` are now.

    Keras has them begin with the first step of an optimizer, which one that is gone on with has
    behind it.
    """
    for mean, variable in zip(optimizer._model_variables_moving_average, variables, strict=True):
        mean.assign(variable)


def take_means(groups: list[tuple]) -> None:
    """Give variables their running means, where their optimizer keeps them (``use_ema``)."""
    for optimizer, variables in groups:
        if optimizer.use_ema:
            optimizer.finalize_variable_values(variables)


@contextmanager
def with_means(groups: list[tuple]) -> Iterator[None]:
    """:func:`take_means` for the body, after which variables are what they were."""
    averaged = [variable for item, group in groups if item.use_ema for variable in group]
    kept = [np.array(variable) for variable in averaged]
    take_means(groups)
    try:
        yield
    finally:
        for variable, value in zip(averaged, kept, strict=True):
            variable.assign(value)
