"""When discriminators join."""

from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

from myxtts.training.adversary import once_started


@pytest.mark.parametrize("batches, joined", [(0, 0.0), (5, 0.0), (6, 1.0), (7, 1.0)])
def test_discriminators_join_after_optimiser_steps_not_batches(batches, joined):
    optimizer = keras.optimizers.AdamW(gradient_accumulation_steps=2)
    optimizer.build([keras.Variable(0.0)])
    optimizer._iterations.assign(batches)
    training = SimpleNamespace(adversarial_start=3, gradient_accumulation=2)
    result = once_started(optimizer, training, lambda: tf.constant(1.0), tf.constant(0.0))
    assert float(result) == joined
