"""The game of a maker and its judges: one judgement serves both."""

import numpy as np
import pytest
import tensorflow as tf
from keras import layers, optimizers

from myxtts.losses import adversarial_loss, discriminator_loss, feature_matching_loss
from myxtts.training.adversary import Adversary, Game

REAL = tf.constant(np.random.default_rng(0).normal(size=(3, 600)), "float32")
FAINT = 0.5 * REAL[::-1]
SKIPPED = 1


class Judge(layers.Layer):
    """Scores and features of two small convolutions."""

    def __init__(self):
        super().__init__()
        self.hidden = layers.Conv1D(4, 9, strides=3, activation="tanh")
        self.score = layers.Conv1D(1, 5)

    def call(self, wave):
        hidden = self.hidden(wave)
        return [(self.score(hidden)[..., 0], [hidden])]


class Players:
    """A maker of one convolution, two judges, and a step in which all learn."""

    def __init__(self, start: int):
        self.adversary = Adversary((), 1.0, "least_squares")
        self.adversary.judges = [Judge(), Judge()]
        self.adversary._judge(REAL)
        self.maker = layers.Conv1D(1, 5, padding="same")
        self.maker.build((None, None, 1))
        learners = (self.maker.trainable_variables, self.adversary.trainable_variables)
        self.groups = [(optimizers.Adam(1e-3), variables) for variables in learners]
        for optimizer, variables in self.groups:
            optimizer.build(variables)
        self.game = Game(self.adversary, self.groups, start, 10)

    @property
    def weights(self) -> list:
        return [variable for _, group in self.groups for variable in group]

    def make(self):
        return self.maker(FAINT[..., None])[..., 0]

    def step(self) -> dict:
        with tf.GradientTape() as tape:
            fake = self.make()
            loss = tf.reduce_mean(tf.abs(REAL - fake))
        return self.game.step(tape, loss, fake, self.game.play(REAL, fake, 2.0, SKIPPED))

    def step_by_two_judgements(self):
        adversary = self.adversary
        with tf.GradientTape() as tape:
            fake = self.make()
            heard, judged = adversary._judge(REAL[SKIPPED:]), adversary._judge(fake)
            matched = tf.nest.map_structure(lambda item: item[SKIPPED:], judged)
            made = tf.reduce_mean(tf.abs(REAL - fake)) + adversarial_loss(judged)
            made += 2.0 * feature_matching_loss(heard, matched)
        (maker, made_of), (judges, judging) = self.groups
        maker.apply(tape.gradient(made, [item.value for item in made_of]), made_of)
        with tf.GradientTape() as tape:
            judged = adversary._judge(tf.stop_gradient(fake))
            loss = discriminator_loss(adversary._judge(REAL), judged)
        judges.apply(tape.gradient(loss, [item.value for item in judging]), judging)
        return made, loss


def test_one_judgement_teaches_what_two_would():
    one, two = Players(0), Players(0)
    for new, old in zip(two.weights, one.weights, strict=True):
        new.assign(old)
    for _ in range(3):
        told = one.step()
        wanted = [float(item) for item in two.step_by_two_judgements()]
        both = [float(told[name]) for name in ("loss", "discriminator_loss")]
        np.testing.assert_allclose(both, wanted, rtol=1e-4)
    for new, old in zip(two.weights, one.weights, strict=True):
        np.testing.assert_allclose(new, old, atol=2e-5, err_msg=new.path)


def test_judges_come_at_their_step_and_have_counted_none_before():
    players = Players(2)
    assert not players.game.is_on
    before = [np.array(item) for item in players.adversary.trainable_variables]
    for _ in range(2):
        told = players.step()
        assert float(told["gradient_norm"]) > 0 and float(told["discriminator_loss"]) == 0
    assert int(players.groups[1][0].iterations) == 0
    assert all(map(np.array_equal, before, players.adversary.trainable_variables))
    assert float(players.step()["discriminator_loss"]) > 0
    assert int(players.groups[1][0].iterations) == 1


@pytest.mark.parametrize("batches, come", [(0, False), (5, False), (6, True), (7, True)])
def test_judges_come_after_optimiser_steps_not_batches(batches, come):
    optimizer = optimizers.AdamW(gradient_accumulation_steps=2)
    optimizer.build([])
    optimizer._iterations.assign(batches)
    assert Game(Adversary((), 1.0, "hinge"), [(optimizer, [])], 3, 10).is_on is come


@pytest.mark.parametrize("start", [10, 11])
def test_judges_that_come_behind_the_last_step_never_judge(start):
    players = Players(start)
    assert not players.game.plays
    assert float(players.step()["discriminator_loss"]) == 0
