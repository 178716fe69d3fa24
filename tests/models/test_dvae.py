"""The DVAE's lengths, its codebook's training, and padding."""

import math

import keras
import numpy as np
import pytest

from myxtts.models.dvae import CODEBOOK_DECAY, DEAD_COUNT, DVAE, Codebook


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

    @tf.function(autograph=False)
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


def make_codebook(counts: np.ndarray) -> Codebook:
    """A codebook of four dimensions whose entries have had ``counts`` members."""
    rng = np.random.default_rng(2)
    codebook = Codebook(4, len(counts), name="codebook")
    codebook.build((None, None, 4))
    codebook.cluster_size.assign(counts)
    codebook.embed.assign(rng.normal(size=(4, len(counts))))
    codebook.embed_avg.assign(codebook.embed * counts)
    return codebook


def vectors(rows: int = 2, length: int = 9) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(rows, length, 4)).astype("float32")


def test_moving_averages_equal_coquis():
    pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
    import torch
    from TTS.tts.layers.xtts.dvae import Quantize

    codebook = make_codebook(np.linspace(1, 5, 16).astype("float32"))
    theirs = Quantize(4, 16).train()
    for name in ("embed", "cluster_size", "embed_avg"):
        getattr(theirs, name).copy_(torch.from_numpy(np.array(getattr(codebook, name))))
    for seed in range(3):
        hidden = vectors() + seed
        valid = np.ones(hidden.shape[:2], bool)
        quantised, codes, commitment, _ = codebook(hidden, valid=valid, training=True)
        expected, loss, indices = theirs(torch.from_numpy(hidden))
        np.testing.assert_array_equal(codes, indices)
        np.testing.assert_allclose(quantised, expected, atol=1e-5)
        assert float(commitment) == pytest.approx(float(loss), rel=1e-5)
    for name in ("embed", "cluster_size", "embed_avg"):
        np.testing.assert_allclose(getattr(codebook, name), getattr(theirs, name), rtol=1e-4)


def test_the_first_batch_gives_the_entries_their_places():
    codebook, hidden = make_codebook(np.zeros(8, "float32")), vectors()
    codebook(hidden, valid=np.ones(hidden.shape[:2], bool), training=True)
    members = hidden.reshape(-1, 4)
    # Each entry starts at an encoder output and has moved one step towards its members.
    distances = np.abs(np.asarray(codebook.embed).T[:, None] - members[None]).max(-1).min(-1)
    assert np.max(distances) < 0.1


def test_a_dead_entry_starts_again_at_an_encoder_output():
    counts = np.full(8, 2.0, "float32")
    counts[3] = DEAD_COUNT
    codebook, hidden = make_codebook(counts), vectors()
    embed = np.array(codebook.embed)
    embed[:, 3] = 1e3
    codebook.embed.assign(embed)
    valid = np.arange(9)[None] < np.array([[9], [2]])
    codebook(hidden, valid=valid, training=True)
    revived = np.asarray(codebook.embed)[:, 3]
    assert np.min(np.abs(hidden[valid] - revived).max(-1)) < 1e-3
    assert float(codebook.cluster_size[3]) == 1.0
    assert float(codebook.cluster_size[4]) >= CODEBOOK_DECAY * 2.0


def test_saved_variables_continue_training_bit_for_bit():
    batches = [mels(64) + seed for seed in range(4)]
    whole = make()
    for batch in batches:
        whole(batch, training=True)
    first = make()
    for batch in batches[:2]:
        first(batch, training=True)
    resumed = make()
    resumed.codebook.seed_generator.state.assign([9, 9])
    for variable, saved in zip(resumed.variables, first.variables, strict=True):
        variable.assign(saved)
    for batch in batches[2:]:
        resumed(batch, training=True)
    for variable, expected in zip(resumed.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(variable, expected, err_msg=variable.path)


def test_half_precision_keeps_the_codebook_in_float32():
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        half = make()
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    outputs = half(mels(64), training=True)
    assert {str(weight.dtype) for weight in half.codebook.weights} == {"float32"}
    for name in ("mel", "recon_loss", "commitment_loss", "codebook_usage"):
        assert keras.backend.standardize_dtype(outputs[name].dtype) == "float32", name
    whole = make()
    whole(mels(64), training=True)
    rebuilt = whole(mels(64))["recon_loss"]
    assert float(half(mels(64))["recon_loss"]) == pytest.approx(float(rebuilt), rel=0.1)


def test_config_gives_the_same_dvae_back():
    dvae = make()
    again = DVAE.from_config(dvae.get_config())
    again.build()
    paths = [weight.path for weight in dvae.weights]
    assert [weight.path for weight in again.weights] == paths
    assert len(set(paths)) == len(paths)


def test_a_decoder_that_hears_speakers_does_without_one_too():
    dvae, batch = make(speaker_dim=6), mels(16)
    voices = np.random.default_rng(2).normal(size=(4, 6)).astype("float32")
    voices[1] = 0.0
    plain, heard = (np.asarray(dvae(batch, speaker=voice)["mel"]) for voice in (None, voices))
    np.testing.assert_allclose(plain[1], heard[1], atol=1e-6)
    assert np.abs(plain[0] - heard[0]).max() > 1e-3
    codes = dvae.encode(batch)
    np.testing.assert_allclose(np.asarray(dvae.decode(codes, voices)), heard, atol=1e-5)
    assert DVAE.from_config(dvae.get_config()).speaker_dim == 6
