"""One training step of ECAPA-TDNN and AAM-softmax beside SpeechBrain's: equal weights and batch."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.upstream.drawn import draw_weights
from myxtts.models.ecapa_tdnn import ECAPATDNN
from myxtts.speaker_config import SpeakerConfig
from myxtts.training.stages.speaker import SpeakerTask
from myxtts.weights import speechbrain_ecapa
from tests.golden.cases import ECAPA_SIZES

CLASSES, ROWS, SAMPLES, RATE = 5, 6, 12_000, 1e-3
# Keras adds Adam's epsilon before the bias of the second moment is taken out, torch behind it;
# at the first step one is the other times this.
BETAS, EPSILON = (0.9, 0.96), 1e-7 / (1 - 0.96) ** 0.5


@pytest.fixture(scope="module")
def batch() -> dict:
    rng = np.random.default_rng(1)
    level = 0.2 * np.abs(np.sin(np.linspace(0, 9, SAMPLES)))
    return {
        "audio": (level * rng.normal(size=(ROWS, SAMPLES))).astype("float32"),
        "lengths": np.full(ROWS, SAMPLES, "int32"),
        "speakers": np.array([0, 0, 1, 2, 4, 4], "int32"),
    }


@pytest.fixture(scope="module")
def theirs(batch):
    """SpeechBrain's step: the weights before, loss, gradients and weights after."""
    pytest.importorskip("speechbrain", reason="speechbrain is not installed (make reference)")
    import torch
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier
    from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper
    from speechbrain.processing.features import InputNormalization

    module = ECAPA_TDNN(
        80,
        lin_neurons=ECAPA_SIZES.embedding_dim,
        channels=list(ECAPA_SIZES.channels),
        kernel_sizes=list(ECAPA_SIZES.kernel_sizes),
        dilations=list(ECAPA_SIZES.dilations),
        attention_channels=ECAPA_SIZES.attention_dim,
        res2net_scale=ECAPA_SIZES.res2net_scale,
        se_channels=ECAPA_SIZES.squeeze_dim,
    ).train()
    before = draw_weights({key: tuple(value.shape) for key, value in module.state_dict().items()})
    module.load_state_dict({key: torch.from_numpy(np.array(v)) for key, v in before.items()})
    classifier = Classifier(ECAPA_SIZES.embedding_dim, out_neurons=CLASSES)
    centres = classifier.weight.detach().numpy().copy()
    weights = [*module.parameters(), classifier.weight]
    optimizer = torch.optim.AdamW(weights, RATE, betas=BETAS, eps=EPSILON, weight_decay=0.0)

    normalise = InputNormalization(norm_type="sentence", std_norm=False)
    features = normalise(Fbank(n_mels=80)(torch.from_numpy(batch["audio"])), torch.ones(ROWS))
    criterion = LogSoftmaxWrapper(AdditiveAngularMargin(margin=0.2, scale=30))
    speakers = torch.from_numpy(batch["speakers"]).long()[:, None]
    loss = criterion(classifier(module(features)), speakers)
    loss.backward()
    gradients = {key: value.grad.numpy().copy() for key, value in module.named_parameters()}
    norm = torch.nn.utils.clip_grad_norm_(weights, 3.0)
    scale = min(1.0, 3.0 / float(norm))
    centre_gradient = classifier.weight.grad.numpy() / scale
    optimizer.step()
    after = {key: value.detach().numpy() for key, value in module.state_dict().items()}
    return SimpleNamespace(
        before=before,
        loss=loss.item(),
        norm=float(norm),
        gradients=before | gradients,
        after=after,
        centres=(centres, centre_gradient, classifier.weight.detach().numpy()),
    )


def encoder_of(arrays) -> ECAPATDNN:
    """An encoder whose variables hold what the upstream's parameters, or their gradients, are."""
    encoder = ECAPATDNN(ECAPA_SIZES)
    encoder.build()
    speechbrain_ecapa.load(encoder, arrays)
    return encoder


@pytest.fixture(scope="module")
def ours(theirs, batch):
    """The same step of the speaker stage's task."""
    config = SpeakerConfig().merged(
        {
            "data": {"speakers_per_batch": ROWS},
            "training": {
                "loss": "aam_softmax",
                "weight_decay": 0.0,
                "speaker": {"batch_size": ROWS, "warmup_steps": 0, "learning_rate": RATE},
            },
        }
    )
    encoder = encoder_of(theirs.before)
    model = SimpleNamespace(
        encoder=SimpleNamespace(encoder=encoder, embedding_dim=ECAPA_SIZES.embedding_dim),
        speakers=[str(number) for number in range(CLASSES)],
    )
    task = SpeakerTask(model, config)
    task.loss.centres.assign(theirs.centres[0].T)
    batch = {name: tf.constant(value) for name, value in batch.items()}
    learning = encoder.trainable_variables
    with tf.GradientTape() as tape:
        loss = task.losses(batch, training=True)["loss"]
    values = [*(v.value for v in learning), task.loss.centres.value]
    *gradients, centre_gradient = tape.gradient(loss, values)
    statistics = [np.array(variable) for variable in encoder.non_trainable_variables]
    numbers = task.train_step(batch)
    return SimpleNamespace(
        task=task,
        encoder=encoder,
        loss=float(loss),
        norm=float(numbers["gradient_norm"]),
        gradients=[np.array(gradient) for gradient in gradients],
        statistics=statistics,
        centre_gradient=np.array(centre_gradient),
    )


def test_the_loss_and_the_norm_of_the_gradient_are_equal(ours, theirs):
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)
    assert ours.norm == pytest.approx(theirs.norm, rel=1e-4)


def test_every_gradient_is_equal(ours, theirs):
    found = encoder_of(theirs.gradients).trainable_variables
    least = 1e-2 * max(float(np.linalg.norm(variable)) for variable in found)
    assert len(found) == len(ours.gradients) > 40
    for variable, gradient in zip(found, ours.gradients, strict=True):
        other = np.asarray(variable)
        # A bias before a softmax has none, and what is small is mostly rounding of what is not.
        error = np.linalg.norm(gradient - other) / max(np.linalg.norm(other), least)
        assert error <= 1e-4, variable.path
    other = theirs.centres[1].T
    assert np.abs(ours.centre_gradient - other).max() <= 1e-4 * np.abs(other).max()


def test_every_weight_moves_alike(ours, theirs):
    twins = [encoder_of(arrays) for arrays in (theirs.before, theirs.gradients, theirs.after)]
    rows = zip(
        *(twin.trainable_variables for twin in twins), ours.encoder.trainable_variables, strict=True
    )
    told = total = 0
    for before, gradient, after, own in rows:
        gradient, moved = np.abs(gradient), np.asarray(own) - np.asarray(before)
        # Adam's first step is the gradient's sign; of rounding it has none.
        clear = gradient > 1e-3 * gradient.max()
        clear &= gradient.max() > 1e-5
        wanted = np.asarray(after) - np.asarray(before)
        np.testing.assert_allclose(moved[clear], wanted[clear], rtol=0, atol=0.02 * RATE)
        np.testing.assert_allclose(np.asarray(own)[clear], np.asarray(after)[clear], atol=1e-4)
        told, total = told + clear.sum(), total + clear.size
    assert told > 0.9 * total
    centres = np.asarray(ours.task.loss.centres)
    np.testing.assert_allclose(centres, theirs.centres[2].T, rtol=0, atol=1e-4)


def test_the_statistics_move_alike(ours, theirs):
    """Of a batch, torch's moving variance takes that over N - 1, Keras' that over N."""
    before, after = (encoder_of(a).non_trainable_variables for a in (theirs.before, theirs.after))
    for old, variable, own in zip(before, after, ours.statistics, strict=True):
        if "variance" in variable.path:
            frames = 1 if "pooled_norm" in variable.path else SAMPLES // 160 + 1
            own = own + (own - 0.9 * np.asarray(old)) / (ROWS * frames - 1)
        np.testing.assert_allclose(own, np.asarray(variable), rtol=1e-4, atol=1e-5)
