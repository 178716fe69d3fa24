"""HiFi-GAN's discriminators: what they judge, their published sizes, and that they learn."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.losses import discriminator_loss
from myxtts.models.discriminators import (
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
    MultiScaleDiscriminator,
    PeriodDiscriminator,
    ScaleDiscriminator,
)

NARROW = 1 / 16
KINDS = [MultiPeriodDiscriminator, MultiScaleDiscriminator, MultiResolutionDiscriminator]
# Weights and biases of one HiFi-GAN discriminator, without the gains of its weight norm.
PERIOD_PARAMETERS = 8_218_433
SCALE_PARAMETERS = 9_870_209


def narrow(kind):
    keras.utils.set_random_seed(0)
    discriminator = kind(channels=NARROW)
    discriminator.build()
    return discriminator


def noise(samples: int, rows: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, samples, 1)).astype("float32")


@pytest.mark.parametrize(
    ("kind", "judges", "layers"),
    [
        (MultiPeriodDiscriminator, 5, 6),
        (MultiScaleDiscriminator, 3, 8),
        (MultiResolutionDiscriminator, 3, 6),
    ],
)
def test_every_judge_gives_a_score_and_its_features(kind, judges, layers):
    outputs = narrow(kind)(noise(2_000))
    assert len(outputs) == judges
    for score, features in outputs:
        assert len(features) == layers
        assert features[-1] is score
        assert score.shape[0] == 2
        assert score.shape[-1] == 1


def test_full_width_has_the_published_size():
    period, scale = PeriodDiscriminator(2, 1.0, name="period"), ScaleDiscriminator(1.0)
    period.build(None)
    scale.build(None)
    assert period.count_params() == PERIOD_PARAMETERS
    assert scale.count_params() == SCALE_PARAMETERS


@pytest.mark.parametrize(
    ("kind", "parameters"), [("Period", PERIOD_PARAMETERS), ("Scale", SCALE_PARAMETERS)]
)
def test_coquis_discriminators_have_that_size(kind, parameters):
    pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
    from TTS.vocoder.models import hifigan_discriminator

    options = {"period": 2} if kind == "Period" else {}
    module = getattr(hifigan_discriminator, f"Discriminator{kind[0]}")(**options)
    gains = sum(p.numel() for name, p in module.named_parameters() if name.endswith("original0"))
    assert sum(p.numel() for p in module.parameters()) - gains == parameters


@pytest.mark.parametrize("kind", KINDS)
def test_narrow_ones_are_cheap(kind):
    assert narrow(kind).count_params() < 0.03 * 5 * PERIOD_PARAMETERS


def test_a_period_sees_samples_that_lie_a_period_apart():
    judge = PeriodDiscriminator(3, NARROW, name="period")
    judge.build(None)
    wave = noise(300, rows=1)
    before = np.asarray(judge(wave)[0])
    # The second of three columns: samples 1, 4, 7, ...
    wave[0, 1::3] += 1.0
    changed = np.any(np.asarray(judge(wave)[0]) != before, axis=(0, 1, 3))
    np.testing.assert_array_equal(changed, [False, True, False])


def test_a_length_that_is_no_multiple_of_the_period_is_padded():
    judge = PeriodDiscriminator(7, NARROW, name="period")
    judge.build(None)
    wave = noise(703)
    padded = np.pad(wave, [(0, 0), (0, 4), (0, 0)])
    np.testing.assert_array_equal(judge(wave)[0], judge(padded)[0])


def test_each_scale_hears_half_the_rate():
    lengths = [score.shape[1] for score, _ in narrow(MultiScaleDiscriminator)(noise(6_400))]
    assert lengths == [100, 50, 25]


@pytest.mark.parametrize("kind", KINDS)
def test_variable_names_are_unique(kind):
    paths = [weight.path for weight in narrow(kind).weights]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("kind", KINDS)
def test_they_learn_to_tell_tones_from_noise(kind):
    judge = narrow(kind)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(judge.trainable_variables)
    tone = np.sin(0.1 * np.arange(1_024, dtype="float32"))[None, :, None].repeat(2, 0)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = discriminator_loss(judge(tone), judge(noise(1_024)))
        values = [variable.value for variable in judge.trainable_variables]
        optimizer.apply(tape.gradient(loss, values), judge.trainable_variables)
        return loss

    first = float(step())
    for _ in range(15):
        last = float(step())
    assert last < 0.7 * first


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_every_sample(kind):
    judge = narrow(kind)
    wave = tf.constant(noise(701, rows=1))
    with tf.GradientTape() as tape:
        tape.watch(wave)
        score = sum(tf.reduce_sum(tf.square(score)) for score, _ in judge(wave))
    assert np.all(np.asarray(tape.gradient(score, wave)) != 0)
