"""Audio codes that are to tell what is spoken."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.models.xtts import XTTS
from myxtts.training.stages.dvae import DVAETask

IDS = 6


def toy_batch(seed: int) -> dict:
    """Each id has a spectrum of its own, and lasts for two codes."""
    rng = np.random.default_rng(seed)
    tokens = np.repeat(rng.integers(0, IDS, (16, 8)), 4, axis=1)
    spectra = np.random.default_rng(0).normal(size=(IDS, 80))
    mel = spectra[np.repeat(tokens, 2, axis=1)] + 0.1 * rng.normal(size=(16, 64, 80))
    known = tokens.astype("int32")
    known[0] = -1
    mask = np.ones(mel.shape[:2], bool)
    return {"mel": mel.astype("float32"), "mel_mask": mask, "tokens": known}


def trained(config, weight: float) -> dict[str, float]:
    keras.utils.set_random_seed(0)
    training = {"code_token_loss_weight": weight, "dvae": {"learning_rate": 1e-2, "steps": 200}}
    model = XTTS(config.merged({"training": training}))
    task = DVAETask(model, model.config)
    step = tf.function(task.train_step, autograph=False)
    for seed in range(150):
        numbers = step({name: tf.constant(value) for name, value in toy_batch(seed).items()})
    return {name: float(value) for name, value in numbers.items()}


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_codes_tell_what_is_spoken_if_that_is_wanted(micro_config, weight):
    found = trained(micro_config, weight)
    assert ("token_accuracy" in found) == bool(weight)
    if weight:
        assert found["token_accuracy"] > 2 / IDS


def test_the_head_is_kept_for_a_resumed_run_and_not_in_the_model(micro_config):
    config = micro_config.merged({"training": {"code_token_loss_weight": 0.3}})
    model = XTTS(config)
    task = DVAETask(model, config)
    own = {id(variable) for variable in model.variables}
    extra = [variable for variable in task.variables if id(variable) not in own]
    assert len(extra) == 2
    assert {id(variable) for variable in extra} <= {id(v) for v in task.groups[0][1]}
