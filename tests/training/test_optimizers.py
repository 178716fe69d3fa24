"""Warm-up, cosine decay, and what weight decay touches."""

import keras
import numpy as np
import pytest

from myxtts.config import StageConfig, TrainingConfig
from myxtts.training.optimizers import WarmupCosine, make_optimizer


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


def test_weight_decay_leaves_biases_and_norms_alone():
    model = keras.Sequential([keras.layers.Dense(3), keras.layers.LayerNormalization()])
    model.build((None, 3))
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


def test_gradients_are_clipped_by_their_global_norm():
    variable = keras.Variable(np.zeros(4), name="kernel")
    training = TrainingConfig(gradient_clip=1.0, weight_decay=0.0)
    optimizer = make_optimizer(StageConfig(), training, [variable])
    assert optimizer.global_clipnorm == 1.0
