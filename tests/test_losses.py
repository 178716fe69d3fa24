"""The objectives do what their formulas say."""

import numpy as np
import pytest

from myxtts.losses import (
    ContrastiveSpeakerLoss,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
    masked_accuracy,
    masked_cross_entropy,
)


def test_cross_entropy_leaves_ignored_targets_out():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 5, 7)).astype("float32")
    targets = rng.integers(0, 7, (2, 5))
    targets[1, 2:] = -1
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    kept = [
        -log_probs[b, t, targets[b, t]] for b in range(2) for t in range(5) if targets[b, t] >= 0
    ]
    assert float(masked_cross_entropy(logits, targets)) == pytest.approx(np.mean(kept), rel=1e-5)


def test_cross_entropy_of_nothing_is_zero():
    assert float(masked_cross_entropy(np.ones((1, 3, 4), "float32"), np.full((1, 3), -1))) == 0


def test_accuracy_counts_kept_targets():
    logits = np.eye(4, dtype="float32")[None]
    assert float(masked_accuracy(logits, np.array([[0, 1, 0, -1]]))) == pytest.approx(2 / 3)


def contrastive_by_hand(embeddings, speakers, temperature, margin):
    unit = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    similarities = unit @ unit.T / temperature
    positive, negative = [], []
    for i in range(len(speakers)):
        for j in range(len(speakers)):
            if i != j and speakers[i] == speakers[j]:
                positive.append(similarities[i, j])
            elif speakers[i] != speakers[j]:
                negative.append(max(similarities[i, j] - margin, 0))
    return (-np.mean(positive) if positive else 0) + (np.mean(negative) if negative else 0)


@pytest.mark.parametrize("speakers", [[0, 0, 1, 1, 2], [0, 0, 0, 0, 0], [0, 1, 2, 3, 4]])
def test_contrastive_loss_equals_its_formula(speakers):
    embeddings = np.random.default_rng(1).normal(size=(5, 8)).astype("float32")
    loss = ContrastiveSpeakerLoss(temperature=0.1, margin=0.2)(np.array(speakers), embeddings)
    expected = contrastive_by_hand(embeddings, speakers, 0.1, 0.2)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_contrastive_loss_of_one_utterance_is_zero():
    assert float(ContrastiveSpeakerLoss()(np.array([4]), np.ones((1, 3), "float32"))) == 0


def test_gan_losses_are_zero_at_their_targets():
    real = [(np.ones((2, 3)), [np.ones((2, 4))])]
    fake = [(np.zeros((2, 3)), [np.ones((2, 4))])]
    assert float(discriminator_loss(real, fake)) == 0
    assert float(adversarial_loss(real)) == 0
    assert float(adversarial_loss(fake)) == 1
    assert float(feature_matching_loss(real, fake)) == 0
