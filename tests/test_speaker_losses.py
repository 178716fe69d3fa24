"""Losses of speaker encoders beside the same written out in numpy, with the usual slips."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from myxtts.errors import ConfigError
from myxtts.speaker_losses import AAMSoftmaxLoss, AngularPrototypicalLoss, scheduled_margin

RNG = np.random.default_rng(5)
IDS = np.array([3, 1, 3, 7, 1, 7, 3, 9])
# Uneven lengths, so that a centroid of raw embeddings shows.
EMBEDDINGS = (RNG.normal(size=(8, 6)) * RNG.uniform(0.2, 5, (8, 1))).astype("float32")
# One speaker has three, of which one is loud.
EMBEDDINGS[6] *= 20
LABELS = np.array([0, 4, 2, 2, 1, 3, 0, 4])


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def softmax_loss(logits, label):
    return math.log(sum(math.exp(value) for value in logits)) - logits[label]


def prototypical(slip=None):
    """Of every speaker the first against the means of the others, one pair after another."""
    vectors = EMBEDDINGS.astype("float64")
    vectors = vectors if slip == "raw centroid" else unit(vectors)
    speakers = [s for s in dict.fromkeys(IDS.tolist()) if (s == IDS).sum() > 1]
    since = 0 if slip == "inclusive centroid" else 1
    means = unit(np.stack([vectors[s == IDS][since:].mean(0) for s in speakers]))
    losses = []
    for place, speaker in enumerate(speakers):
        cosines = means @ unit(vectors[speaker == IDS][0])
        cosines = np.maximum(cosines, 1e-6) if slip == "clamped cosines" else cosines
        losses.append(softmax_loss(10 * cosines - 5, place))
    return np.mean(losses)


def test_angular_prototypical_is_its_formula():
    found = float(AngularPrototypicalLoss()(IDS, EMBEDDINGS))
    assert found == pytest.approx(prototypical(), rel=1e-5)


@pytest.mark.parametrize("slip", ["raw centroid", "inclusive centroid", "clamped cosines"])
def test_slips_of_prototypes_are_seen(slip):
    found = float(AngularPrototypicalLoss()(IDS, EMBEDDINGS))
    assert found != pytest.approx(prototypical(slip), rel=1e-3)


def test_a_negative_scale_is_not_used():
    loss = AngularPrototypicalLoss(scale=-3.0)
    assert float(loss(IDS, EMBEDDINGS)) == pytest.approx(math.log(3), rel=1e-4)


def aam(centres, margin=0.2, subs=1, top=0, top_margin=0.1, vectors=EMBEDDINGS):
    """Angles by arccos, one example and one class after another."""
    cosines = unit(vectors.astype("float64")) @ unit(centres.astype("float64").T).T
    cosines = cosines.reshape(len(vectors), -1, subs).max(-1)
    losses = []
    for row, label in zip(np.clip(cosines, -1, 1), LABELS[: len(vectors)], strict=True):
        angles, logits = np.arccos(row), row.copy()
        wrong = [index for index in np.argsort(-row) if index != label][:top]
        for index in wrong:
            angle = angles[index] - top_margin
            logits[index] = math.cos(angle) if angle > 0 else row[index] + 1 - math.cos(top_margin)
        turned = angles[label] + margin
        past = row[label] - margin * math.sin(margin)
        logits[label] = math.cos(turned) if turned < math.pi else past
        losses.append(softmax_loss(30 * logits, label))
    return np.mean(losses)


@pytest.mark.parametrize("subs, top", [(1, 0), (3, 0), (1, 2), (3, 2)])
def test_aam_is_its_formula(subs, top):
    loss = AAMSoftmaxLoss(5, sub_centres=subs, top_k=top)
    found = float(loss(LABELS, EMBEDDINGS))
    centres = keras.ops.convert_to_numpy(loss.centres)
    assert found == pytest.approx(aam(centres, subs=subs, top=top), rel=1e-5)
    assert found != pytest.approx(aam(centres, 0.0, subs, top), rel=1e-3)
    assert found != pytest.approx(aam(centres, 0.2, subs, 1 - min(top, 1)), rel=1e-3)


def test_aam_at_opposite_and_equal_directions():
    loss = AAMSoftmaxLoss(5, top_k=1)
    loss.build((None,), (None, 6))
    centres = keras.ops.convert_to_numpy(loss.centres).T
    # The own class lies opposite, and another class is met exactly.
    vectors = np.stack([-centres[0], centres[1]]).astype("float32")
    found = float(loss(LABELS[:2], vectors))
    assert found == pytest.approx(aam(centres.T, top=1, vectors=vectors), rel=1e-3)


def test_the_margin_can_be_set_while_training():
    loss = AAMSoftmaxLoss(5)
    loss(LABELS, EMBEDDINGS)
    loss.margin.assign(scheduled_margin(0, 0, 10, 0.5))
    centres = keras.ops.convert_to_numpy(loss.centres)
    assert float(loss(LABELS, EMBEDDINGS)) == pytest.approx(aam(centres, 0.0), rel=1e-5)
    assert [v.path.split("/")[-1] for v in loss.trainable_variables] == ["centres"]


def test_margin_rises_between_its_steps():
    values = [float(scheduled_margin(step, 20, 40, 0.2)) for step in (0, 20, 30, 39, 40, 90)]
    halfway = 0.2 * (1 - math.sqrt(1e-3))
    assert values[:2] == [0.0, 0.0] and values[2] == pytest.approx(halfway, rel=1e-5)
    assert halfway < values[3] < 0.2
    assert values[4:] == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize(
    "arguments", [{"classes": 1}, {"sub_centres": 0}, {"top_k": 5}, {"margin": 4.0}, {"scale": 0}]
)
def test_impossible_numbers_are_refused(arguments):
    with pytest.raises(ConfigError):
        AAMSoftmaxLoss(**{"classes": 5} | arguments)
    with pytest.raises(ConfigError):
        scheduled_margin(0, 5, 5, 0.2)


def test_losses_are_made_again_from_their_configurations():
    for loss in (AAMSoftmaxLoss(5, margin=0.3, top_k=2), AngularPrototypicalLoss(scale=4.0)):
        assert type(loss).from_config(loss.get_config()).get_config() == loss.get_config()
