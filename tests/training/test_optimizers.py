"""Warm-up, cosine decay, and what weight decay touches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.config import StageConfig, TrainingConfig
from myxtts.training.optimizers import (
    WarmupCosine,
    apply_gradients,
    begin_means,
    make_optimizer,
    set_steps,
    take_means,
    with_means,
)


def test_schedule_rises_then_falls_to_its_floor():
    schedule = WarmupCosine(1e-3, 10, 100, 0.1)
    values = np.array([float(schedule(step)) for step in range(150)])
    assert values[0] == pytest.approx(1e-4)
    assert values[:10].argmax() == 9
    assert values.max() == pytest.approx(1e-3)
    assert (np.diff(values[10:100]) <= 1e-12).all()
    assert values[100:] == pytest.approx(1e-4, rel=1e-4)


def test_schedule_counts_optimiser_steps_under_accumulation():
    plain, accumulated = (WarmupCosine(1.0, 4, 20, 0.0, count) for count in (1, 5))
    assert float(accumulated(35)) == pytest.approx(float(plain(7)))


def test_schedule_survives_serialisation():
    schedule = WarmupCosine(1e-3, 10, 100, 0.1, 2)
    config = keras.saving.serialize_keras_object(schedule)
    assert keras.saving.deserialize_keras_object(config).get_config() == schedule.get_config()


def test_weight_decay_leaves_biases_norms_and_embeddings_alone():
    layers = [
        keras.layers.Embedding(5, 4),
        keras.layers.Dense(3),
        keras.layers.LayerNormalization(),
    ]
    model = keras.Sequential(layers)
    model.build((None, 2))
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer = make_optimizer(
        StageConfig(learning_rate=1e-2, warmup_steps=0),
        TrainingConfig(weight_decay=0.5),
        model.trainable_variables,
    )
    optimizer.apply([0.0 * variable for variable in model.trainable_variables])
    decayed = {v.path.split("/")[-1] for v in model.trainable_variables if np.mean(v) < 1}
    assert decayed == {"kernel"}


def descend(training: TrainingConfig, gradients: list[np.ndarray]) -> list[np.ndarray]:
    """A kernel and its learning rates after every one of ``gradients``."""
    kernel = keras.Variable(np.ones(3), name="kernel")
    stage = StageConfig(learning_rate=0.1, warmup_steps=3, steps=10)
    optimizer = make_optimizer(stage, training, [kernel])
    track = []
    for gradient in gradients:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(kernel.value * gradient)
        apply_gradients([(optimizer, [kernel])], tape, loss)
        track.append(np.array(kernel))
    return track


@pytest.mark.parametrize("count", [2, 4])
def test_accumulated_batches_make_one_step_of_their_mean(count):
    """Schedule, bias correction, decay and clipping all count optimiser steps."""
    rng = np.random.default_rng(0)
    batches = rng.normal(size=(5, count, 3)).astype("float32")
    base = {"weight_decay": 0.5, "gradient_clip": 0.3}
    accumulating = TrainingConfig(gradient_accumulation=count, **base)
    accumulated = descend(accumulating, list(batches.reshape(-1, 3)))
    large = descend(TrainingConfig(**base), list(batches.mean(axis=1)))
    np.testing.assert_allclose(accumulated[count - 1 :: count], large, rtol=1e-5)
    np.testing.assert_array_equal(accumulated[count - 2], np.ones(3))


def test_gradients_are_clipped_together_and_their_norm_is_told_unclipped():
    """Adam forgets a common factor, so its first moment is looked at."""
    parts = [keras.Variable(np.zeros(1), name="kernel") for _ in range(2)]
    training = TrainingConfig(gradient_clip=1.0, weight_decay=0.0)
    optimizer = make_optimizer(StageConfig(), training, parts)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(30.0 * parts[0].value + 40.0 * parts[1].value)
    norm = apply_gradients([(optimizer, parts)], tape, loss)
    assert float(norm) == pytest.approx(50.0)
    moments = [float(moment[0]) for moment in optimizer._momentums]
    assert moments == pytest.approx([0.06, 0.08])


@pytest.mark.parametrize("batches", [None, 3])
def test_steps_are_set_as_they_are_read(batches):
    optimizer = keras.optimizers.Adam(gradient_accumulation_steps=batches)
    optimizer.build([keras.Variable(0.0)])
    set_steps(optimizer, 7)
    assert int(optimizer.iterations) == 7


def test_running_means_are_lent_and_taken():
    variable = keras.Variable([1.0, 2.0])
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.75)
    optimizer.build([variable])
    # One that is gone on with: Keras would let its means begin with zeros.
    set_steps(optimizer, 5)
    begin_means(optimizer, [variable])
    groups = [(optimizer, [variable])]
    optimizer.apply([tf.constant([1.0, 0.0])], [variable])
    with with_means(groups):
        np.testing.assert_allclose(variable, [0.75, 2.0])
    with pytest.raises(KeyError), with_means(groups):
        raise KeyError
    np.testing.assert_allclose(variable, [0.0, 2.0])
    take_means(groups)
    np.testing.assert_allclose(variable, [0.75, 2.0])
