"""What the GPT stage optimises beside the GPT: speaker losses and an unfrozen encoder."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.models.xtts import XTTS
from myxtts.training.checkpoints import CheckpointFolder, Progress
from myxtts.training.stages.decoder import DecoderTask
from myxtts.training.stages.gpt import GPTTask

PAIRS = [0, 0, 1, 1]
LOSSES = ("contrastive_loss", "ge2e_loss")
PRETRAINED = {"use_pretrained_speaker_encoder": True, "gpt": {"dropout": 0.0}}
RATES = {"gpt": {"learning_rate": 1e-2, "warmup_steps": 0}, "speaker_encoder_learning_rate": 1e-3}


def make_task(config, freeze: bool = True, **training) -> GPTTask:
    """A task on a model of fixed random weights, whose encoder counts as loaded."""
    keras.utils.set_random_seed(5)
    model = PRETRAINED | {"freeze_speaker_encoder": freeze}
    config = config.merged({"model": model, "training": {"weight_decay": 0.0} | training})
    xtts = XTTS(config)
    xtts.audio_encoder.speaker_encoder.provenance = "weights of this test"
    return GPTTask(xtts, config)


def make_batch(speakers=PAIRS, seed: int = 0) -> dict:
    """A batch of kind ``gpt`` with both forms of reference that a pretrained encoder takes."""
    rng = np.random.default_rng(seed)
    rows = len(speakers)
    batch = {
        "text_ids": rng.integers(1, 260, (rows, 16)).astype("int32"),
        "text_lengths": rng.integers(5, 16, rows).astype("int32"),
        "mel": rng.normal(size=(rows, 64, 80)).astype("float32"),
        "mel_lengths": rng.integers(40, 64, rows).astype("int32"),
        "speaker_ids": np.array(speakers, "int32"),
        "reference_16k": (0.1 * rng.normal(size=(rows, 8000))).astype("float32"),
        "reference_16k_lengths": rng.integers(6000, 8000, rows).astype("int32"),
    }
    return {name: tf.constant(value) for name, value in batch.items()}


def frozen_batch(speakers=PAIRS) -> dict:
    embedding = np.random.default_rng(3).normal(size=(len(speakers), 24)).astype("float32")
    return make_batch(speakers) | {"embedding": tf.constant(embedding)}


def values(variables) -> list[np.ndarray]:
    return [np.array(variable) for variable in variables]


def largest_change(before: list, after: list) -> float:
    return max(np.abs(one - other).max() for one, other in zip(before, after, strict=True))


def projection_gradient(task: GPTTask, name: str = "loss") -> np.ndarray:
    with tf.GradientTape() as tape:
        numbers = task.losses(frozen_batch(), training=True)
    return np.asarray(tape.gradient(numbers[name], task.model.audio_encoder.projection.kernel))


@pytest.mark.parametrize("name", LOSSES)
def test_the_projection_hears_the_speaker_loss(micro_config, name):
    off = projection_gradient(make_task(micro_config))
    task = make_task(micro_config, **{f"{name}_weight": 0.5})
    own = projection_gradient(task, name)
    assert np.abs(own).max() > 0
    np.testing.assert_allclose(projection_gradient(task), off + 0.5 * own, rtol=1e-4, atol=1e-6)


def test_losses_without_a_weight_are_not_there(micro_config):
    task = make_task(micro_config)
    assert task.speaker_losses == {}
    assert not set(LOSSES) & set(task.train_step(frozen_batch()))


def test_both_speaker_losses_add_up(micro_config):
    task = make_task(micro_config, contrastive_loss_weight=0.3, ge2e_loss_weight=0.7)
    numbers = {name: float(value) for name, value in task.validation_step(frozen_batch()).items()}
    expected = 0.01 * numbers["text_loss"] + numbers["audio_loss"]
    expected += 0.3 * numbers["contrastive_loss"] + 0.7 * numbers["ge2e_loss"]
    assert numbers["loss"] == pytest.approx(expected, rel=1e-5)


def test_scale_and_bias_of_ge2e_learn_and_survive_a_checkpoint(micro_config, tmp_path):
    """With an unfrozen encoder's weights and statistics."""

    def make():
        loss = {"ge2e_loss_weight": 1.0, "ge2e_variant": "contrast"}
        return make_task(micro_config, freeze=False, **loss, **RATES)

    task = make()
    for _ in range(2):
        task.train_step(make_batch())
    loss = task.speaker_losses["ge2e_loss"][1]
    assert abs(float(loss.scale) - 10) > 1e-3
    assert abs(float(loss.bias) + 5) > 1e-3
    CheckpointFolder(tmp_path, task, 1).save(Progress(2))
    resumed = make()
    CheckpointFolder(tmp_path, resumed, 1).restore()
    task.train_step(make_batch()), resumed.train_step(make_batch())
    for one, other in zip(values(task.variables), values(resumed.variables), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weight_decay_leaves_the_scale_of_ge2e_alone(micro_config):
    task = make_task(micro_config, ge2e_loss_weight=1e-9, weight_decay=100.0, **RATES)
    optimizer, group = task.groups[0]
    optimizer.apply([tf.zeros_like(variable.value) for variable in group], group)
    loss = task.speaker_losses["ge2e_loss"][1]
    assert (float(loss.scale), float(loss.bias)) == (10.0, -5.0)


@pytest.mark.parametrize("speakers", [[0, 1, 2, 3], [4, 4, 4, 4], [2]])
def test_batches_without_pairs_can_be_validated(micro_config, speakers):
    task = make_task(micro_config, contrastive_loss_weight=1.0, ge2e_loss_weight=1.0)
    numbers = task.validation_step(frozen_batch(speakers))
    assert all(np.isfinite(float(value)) for value in numbers.values())
    assert float(numbers["ge2e_loss"]) == pytest.approx(0, abs=1e-5)


def test_a_frozen_encoder_has_no_optimizer(micro_config):
    task = make_task(micro_config)
    encoder = task.model.audio_encoder.speaker_encoder
    assert len(task.optimizers) == 1
    assert encoder.trainable_variables == []
    assert not {id(var) for var in encoder.variables} & {id(var) for var in task.variables}


def test_an_unfrozen_encoder_learns_at_its_own_rate(micro_config):
    """The first step of Adam is as long as the learning rate."""
    task = make_task(micro_config, freeze=False, **RATES)
    rates = [float(optimizer.learning_rate) for optimizer in task.optimizers]
    assert rates == pytest.approx([1e-2, 1e-3])
    groups = [group for _, group in task.groups]
    before = [values(group) for group in groups]
    task.train_step(make_batch())
    changes = [largest_change(old, values(new)) for old, new in zip(before, groups, strict=True)]
    assert changes == pytest.approx([1e-2, 1e-3], rel=1e-2)
    encoder = task.model.audio_encoder.speaker_encoder.trainable_variables
    assert [id(variable) for variable in groups[1]] == [id(variable) for variable in encoder]


def test_both_optimizers_accumulate(micro_config):
    """Twice the same batch is one step down its gradient."""
    losses = {"ge2e_loss_weight": 1.0, "contrastive_loss_weight": 0.1}
    plain = make_task(micro_config, freeze=False, **losses, **RATES)
    halves = make_task(micro_config, freeze=False, gradient_accumulation=2, **losses, **RATES)
    before = values(halves.trainable_variables)
    plain.train_step(make_batch())
    halves.train_step(make_batch())
    assert largest_change(before, values(halves.trainable_variables)) == 0
    halves.train_step(make_batch())
    for (_, ours), (_, theirs) in zip(halves.groups, plain.groups, strict=True):
        assert largest_change(values(ours), values(theirs)) < 1e-4


def test_a_speaker_loss_does_not_move_statistics_twice(micro_config):
    tasks = [make_task(micro_config, False, ge2e_loss_weight=weight) for weight in (0.0, 1e-9)]
    statistics = []
    for task in tasks:
        encoder = task.model.audio_encoder.speaker_encoder
        before = values(encoder.non_trainable_variables)
        task.train_step(make_batch())
        statistics.append(values(encoder.non_trainable_variables))
        assert largest_change(before, statistics[-1]) > 0
    for one, other in zip(*statistics, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("freeze", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_fifty_steps_move_an_encoder_only_where_it_is_unfrozen(micro_config, freeze):
    """Though it hears every batch: weights and statistics, to the bit."""
    task = make_task(micro_config, freeze, ge2e_loss_weight=0.1, **RATES)
    encoder = task.model.audio_encoder.speaker_encoder
    before, projection = (
        values(encoder.weights),
        values(task.model.audio_encoder.projection.weights),
    )
    step, batch = tf.function(task.train_step, autograph=False), make_batch()
    for _ in range(50):
        numbers = step(batch)
    assert np.isfinite(float(numbers["loss"]))
    assert largest_change(projection, values(task.model.audio_encoder.projection.weights)) > 0
    pairs = zip(before, values(encoder.weights), encoder.weights, strict=True)
    moved = {variable.path for one, other, variable in pairs if not np.array_equal(one, other)}
    assert bool(moved) != freeze
    for kind in ("kernel", "gamma", "moving_mean", "moving_variance"):
        assert any(name.endswith(kind) for name in moved) != freeze


@pytest.mark.slow
@pytest.mark.parametrize("freeze", [True, False])
def test_compiled_speaker_losses_equal_plain_ones(micro_config, freeze):
    losses = {"ge2e_loss_weight": 1.0, "contrastive_loss_weight": 0.1}
    batch = frozen_batch() if freeze else make_batch()
    plain, compiled = (make_task(micro_config, freeze, **losses) for _ in range(2))
    expected = plain.train_step(batch)
    numbers = tf.function(compiled.train_step, jit_compile=True)(batch)
    for name, value in expected.items():
        assert float(numbers[name]) == pytest.approx(float(value), rel=1e-3), name


def test_the_original_speaker_path_learns_under_a_speaker_loss_alone(micro_config):
    changes = {"training": {"ge2e_loss_weight": 1.0}}
    model = XTTS(micro_config)
    path = {id(variable) for variable in model.audio_encoder.speaker_variables}
    for config, learns in ((micro_config, False), (micro_config.merged(changes), True)):
        task = GPTTask(model, config)
        assert len(task.optimizers) == 1
        assert path <= {id(variable) for variable in task.trainable_variables} or not learns
        assert bool(path & {id(variable) for variable in task.variables}) == learns


def test_the_decoder_stage_moves_no_statistic_of_a_pretrained_encoder(micro_config):
    """Nothing of it learns there, and no checkpoint of that stage would hold it."""
    task = make_task(micro_config, freeze=False)
    encoder = task.model.audio_encoder.speaker_encoder
    before = values(encoder.weights)
    decoder = DecoderTask(task.model, task.model.config)
    speaker = decoder._speaker(make_batch(), training=True)
    assert largest_change(before, values(encoder.weights)) == 0
    np.testing.assert_array_equal(speaker, decoder._speaker(make_batch(), training=False))
    known = {id(variable) for variable in decoder.variables}
    assert not known & {id(variable) for variable in encoder.variables}
