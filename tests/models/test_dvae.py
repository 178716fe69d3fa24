"""The DVAE's lengths, its codebook's training, and padding."""

import math

import keras
import numpy as np
import pytest

from myxtts.models.dvae import DVAE


def make(**changes) -> DVAE:
    keras.utils.set_random_seed(0)
    dvae = DVAE(**({"hidden_dim": 16, "codebook_dim": 8, "num_codes": 32,
                    "num_resnet_blocks": 1} | changes))  # fmt: skip
    dvae.build()
    return dvae


def mels(frames: int, rows: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, frames, 80)).astype("float32")


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 8, 37])
def test_four_frames_make_a_code(frames):
    dvae = make()
    codes = np.asarray(dvae.encode(mels(frames)))
    assert codes.shape == (4, math.ceil(math.ceil(frames / 2) / 2))
    assert dvae.decode(codes).shape == (4, 4 * codes.shape[1], 80)
    assert dvae(mels(frames))["mel"].shape == (4, frames, 80)


def test_codes_are_the_nearest_entries():
    dvae = make()
    hidden = np.random.default_rng(1).normal(size=(2, 5, 8)).astype("float32")
    entries = dvae.codebook.embed.numpy().T
    distances = ((hidden[:, :, None] - entries) ** 2).sum(-1)
    np.testing.assert_array_equal(dvae.codebook.nearest(hidden), distances.argmin(-1))


def test_training_fills_the_codebook_and_lowers_the_loss():
    dvae, batch = make(), mels(64)
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(dvae.trainable_variables)
    import tensorflow as tf

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            outputs = dvae(batch, training=True)
            loss = outputs["recon_loss"] + 0.25 * outputs["commitment_loss"]
        variables = dvae.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return outputs

    first = step()
    for _ in range(150):
        last = step()
    assert float(last["recon_loss"]) < 0.9 * float(first["recon_loss"])
    assert float(last["codebook_usage"]) > 0.25


def test_the_codebook_stands_still_outside_training():
    dvae = make()
    before = dvae.codebook.embed.numpy().copy()
    dvae(mels(16), training=False)
    np.testing.assert_array_equal(dvae.codebook.embed, before)


def test_padding_takes_no_part_in_losses_and_statistics():
    results = []
    for filler in (0.0, 100.0):
        dvae, batch = make(), mels(64)
        # A gap keeps the convolutions' reach away from what is compared.
        batch[:, 32:] = 0.0
        batch[:, 56:] = filler
        valid = np.arange(64)[None].repeat(4, 0) < 24
        outputs = dvae(batch, valid=valid, training=True)
        results.append((float(outputs["recon_loss"]), dvae.codebook.embed.numpy()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5)


def test_gradient_passes_straight_through_the_codebook():
    import tensorflow as tf

    dvae = make()
    with tf.GradientTape() as tape:
        loss = dvae(mels(16), training=True)["recon_loss"]
    gradient = tape.gradient(loss, dvae.down[0].kernel.value)
    assert float(tf.reduce_max(tf.abs(gradient))) > 0
