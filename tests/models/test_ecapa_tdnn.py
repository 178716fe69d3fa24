"""ECAPA-TDNN: padding, short rows, statistics, gradients; and the export of every encoder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.upstream.drawn import draw_weights
from myxtts.models.coqui_resnet import CoquiSpeakerEncoder
from myxtts.models.ecapa_tdnn import (
    ECAPATDNN,
    AttentiveStatisticsPooling,
    Rows,
    SERes2NetBlock,
    TDNNBlock,
)
from myxtts.models.resemblyzer import ResemblyzerEncoder
from myxtts.weights import speechbrain_ecapa
from tests.golden.cases import ECAPA_SIZES, RESNET_SIZES

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "ecapa.npz"
LENGTHS = (1, 2, 79, 159, 160, 161, 320, 399, 700, 1_601, 2_999, 3_000)
LONGEST = 3_200
SIGNATURE = [tf.TensorSpec((None, None)), tf.TensorSpec((None,), "int32")]
TOLERANCE = 1e-5


def make() -> ECAPATDNN:
    """A small encoder under trained-looking weights and statistics."""
    with np.load(GOLDEN) as archive:
        shapes = {key: tuple(shape) for key, shape in json.loads(str(archive["shapes"])).items()}
    encoder = ECAPATDNN(ECAPA_SIZES)
    encoder.build()
    speechbrain_ecapa.load(encoder, draw_weights(shapes))
    return encoder


@pytest.fixture(scope="module")
def encoder() -> ECAPATDNN:
    return make()


def noise(samples: int, rows: int = 1) -> np.ndarray:
    rng = np.random.default_rng(samples)
    return (0.1 * rng.normal(size=(rows, samples))).astype("float32")


def padded(filler: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ``LENGTHS`` with ``filler`` behind them, and their lengths."""
    batch = np.full((len(LENGTHS), LONGEST), filler, "float32")
    for row, samples in zip(batch, LENGTHS, strict=True):
        row[:samples] = noise(samples)[0]
    return batch, np.array(LENGTHS, "int32")


def relative_error(ours, theirs) -> float:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)))


def values(weights) -> list[np.ndarray]:
    return [np.array(weight) for weight in weights]


@pytest.mark.parametrize("filler", [0.0, 7.0, np.nan])
def test_padding_and_batching_do_not_change_embedding(encoder, filler):
    together = np.asarray(encoder(*padded(filler)))
    for row, samples in zip(together, LENGTHS, strict=True):
        assert relative_error(row, encoder(noise(samples))[0]) <= TOLERANCE, samples


def test_padding_taken_for_speech_would_be_noticed(encoder):
    batch, lengths = padded(7.0)
    wrong = np.asarray(encoder(batch))
    for row, right in zip(wrong, np.asarray(encoder(batch, lengths)), strict=True):
        assert relative_error(row, right) > 1000 * TOLERANCE


def test_order_and_company_of_rows_do_not_matter(encoder):
    batch, lengths = padded(0.0)
    turned = np.asarray(encoder(batch[::-1], lengths[::-1]))[::-1]
    assert relative_error(turned, encoder(batch, lengths)) <= TOLERANCE


def test_every_short_length_is_finite(encoder):
    lengths = np.arange(1, 2_001, dtype="int32")
    batch = np.repeat(noise(2_000), len(lengths), axis=0)
    embeddings = np.asarray(encoder(batch, lengths))
    assert np.all(np.isfinite(embeddings))
    for samples in (1, 2, 160, 1_999, 2_000):
        alone = encoder(batch[:1, :samples])
        assert relative_error(embeddings[samples - 1], alone[0]) <= TOLERANCE


def test_silent_and_empty_rows_are_finite(encoder):
    batch = np.zeros((2, 1_000), "float32")
    assert np.all(np.isfinite(encoder(batch, np.array([1_000, 0]))))


def test_rows_shorter_than_the_reflection_go_back_and_forth():
    frames = np.arange(12, dtype="float32").reshape(1, 12, 1)
    for size in (1, 2, 3, 12):
        rows = Rows(np.arange(12)[None] < size)
        mirrored = np.asarray(rows.reflect(frames, 5))[0, : size + 10, 0]
        expected = np.pad(np.arange(size), 5, mode="reflect")
        np.testing.assert_array_equal(mirrored, expected)


def test_mixed_precision_changes_nothing(encoder):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = make()
    finally:
        keras.config.set_dtype_policy(policy)
    assert {weight.dtype for weight in half.weights} == {"float32"}
    np.testing.assert_array_equal(half(noise(4_000)), encoder(noise(4_000)))


@pytest.mark.parametrize("training", [False, True])
def test_gradients_reach_the_audio_and_every_weight(training):
    encoder, audio = make(), tf.constant(noise(4_001, rows=2))
    with tf.GradientTape() as tape:
        tape.watch(audio)
        loss = tf.reduce_sum(tf.square(encoder(audio, training=training)[:, :5]))
    gradients = tape.gradient(loss, [audio, *encoder.trainable_variables])
    assert len(gradients) == 1 + len(encoder.trainable_variables)
    for name, gradient in zip(
        ["audio", *(weight.path for weight in encoder.trainable_variables)], gradients, strict=True
    ):
        assert gradient is not None, name
        assert np.all(np.isfinite(gradient)), name
        # A softmax over time does not hear what all its scores have in common.
        assert np.any(gradient) or name.endswith("score/bias"), name


def test_short_and_silent_rows_give_finite_gradients():
    encoder, audio = make(), tf.constant(np.zeros((2, 900), "float32"))
    with tf.GradientTape() as tape:
        tape.watch(audio)
        loss = tf.reduce_sum(encoder(audio, np.array([900, 1])))
    assert np.all(np.isfinite(tape.gradient(loss, audio)))


def test_padding_takes_no_part_in_the_statistics_of_training():
    moved = []
    for filler in (0.0, 100.0):
        encoder = make()
        trainable = values(encoder.trainable_variables)
        encoder(*padded(filler), training=True)
        moved.append(values(encoder.non_trainable_variables))
        for old, new in zip(trainable, encoder.trainable_variables, strict=True):
            np.testing.assert_array_equal(old, new)
    before = values(make().non_trainable_variables)
    for old, first, second in zip(before, *moved, strict=True):
        assert np.any(first != old)
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_statistics_of_training_are_those_of_the_valid_frames():
    encoder = make()
    batch, lengths = padded(7.0)
    features, valid = encoder.features(batch, lengths)
    hidden = keras.ops.relu(encoder.first.conv(Rows(valid).reflect(features, 2)))
    heard = np.asarray(hidden)[np.asarray(valid)]
    before = np.array(encoder.first.norm.moving_mean)
    encoder(batch, lengths, training=True)
    expected = 0.9 * before + 0.1 * heard.mean(axis=0)
    np.testing.assert_allclose(encoder.first.norm.moving_mean, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_no_weight_moves_outside_training_or_when_frozen(frozen):
    encoder = make()
    encoder.trainable = not frozen
    before = values(encoder.weights)
    encoder(*padded(0.0), training=frozen)
    for old, new in zip(before, encoder.weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.filterwarnings("error:.*mask:UserWarning")
def test_masks_inside_make_no_warning():
    make()(noise(2_000))


def test_config_gives_the_same_encoder_back(encoder):
    config = json.loads(json.dumps(encoder.get_config()))
    again = ECAPATDNN.from_config(config)
    again.build()
    for weight, value in zip(again.weights, encoder.weights, strict=True):
        assert weight.path == value.path
        weight.assign(value)
    np.testing.assert_array_equal(again(noise(2_000)), encoder(noise(2_000)))
    assert len({weight.path for weight in again.weights}) == len(again.weights)


@pytest.mark.parametrize(
    "layer",
    [
        TDNNBlock(8, 5, 2, name="tdnn"),
        SERes2NetBlock(8, 3, 2, 4, 6, name="block"),
        AttentiveStatisticsPooling(7, name="pooling"),
    ],
    ids=lambda layer: layer.name,
)
def test_layer_configs_give_the_same_layers_back(layer):
    again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    for item in (layer, again):
        item.build((None, None, 12))
    shapes = [(weight.path, weight.shape) for weight in layer.weights]
    assert shapes == [(weight.path, weight.shape) for weight in again.weights]


def test_graph_of_any_batch_and_length_equals_eager(encoder):
    graph = tf.function(lambda audio, lengths: encoder(audio, lengths), input_signature=SIGNATURE)
    batch, lengths = padded(7.0)
    for rows in (slice(None), slice(2)):
        expected = encoder(batch[rows], lengths[rows])
        assert relative_error(graph(batch[rows], lengths[rows]), expected) <= TOLERANCE
    assert relative_error(graph(noise(801), np.array([801])), encoder(noise(801))) <= TOLERANCE
    alone = tf.function(lambda audio: encoder(audio), input_signature=SIGNATURE[:1])
    assert relative_error(alone(noise(801)), encoder(noise(801))) <= TOLERANCE


def test_xla_equals_eager(encoder):
    compiled = tf.function(
        lambda audio, lengths: encoder(audio, lengths), input_signature=SIGNATURE, jit_compile=True
    )
    batch, lengths = padded(7.0)
    assert relative_error(compiled(batch, lengths), encoder(batch, lengths)) <= TOLERANCE


ENCODERS = {
    "ecapa": make,
    "coqui": lambda: CoquiSpeakerEncoder(**RESNET_SIZES),
    "resemblyzer": ResemblyzerEncoder,
}
RELOAD = """
import sys
import numpy as np, tensorflow as tf
given = np.load("given.npz")
found = {}
for kind in sys.argv[1:]:
    model = tf.saved_model.load(kind)
    found[kind] = model.serve(given["batch"], given["lengths"]).numpy()
    single = given["batch"][:1, :500]
    found[kind + "/single"] = model.serve(single, np.array([500], "int32")).numpy()
assert not any(name.split(".")[0] in ("myxtts", "torch") for name in sys.modules)
np.savez("found.npz", **found)
"""


def export(encoder: keras.Model, folder: Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(encoder)
    archive.add_endpoint("serve", lambda audio, lengths: encoder(audio, lengths), SIGNATURE)
    archive.write_out(str(folder), verbose=False)


@pytest.mark.parametrize(
    "kinds", [("ecapa",), pytest.param(("coqui", "resemblyzer"), marks=pytest.mark.slow)]
)
def test_exports_reload_in_a_fresh_process_without_this_package(kinds, tmp_path):
    batch = 0.1 * np.random.default_rng(0).normal(size=(3, 40_000)).astype("float32")
    lengths = np.array([500, 40_000, 17_017], "int32")
    expected = {}
    for kind in kinds:
        encoder = ENCODERS[kind]()
        encoder(batch[:1])
        export(encoder, tmp_path / kind)
        expected[kind] = np.asarray(encoder(batch, lengths))
        expected[f"{kind}/single"] = expected[kind][:1]
    np.savez(tmp_path / "given.npz", batch=batch, lengths=lengths)
    command = [sys.executable, "-I", "-c", RELOAD, *kinds]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    with np.load(tmp_path / "found.npz") as found:
        for name, embedding in expected.items():
            assert relative_error(found[name], embedding) <= TOLERANCE, name


# Of a full batch, whose ends are mirrored in another way, and of a padded one.
ON_TORCH = """
import sys
import numpy as np
from keras import ops
from tests.models.test_ecapa_tdnn import LONGEST, make, noise
lengths = np.array([LONGEST, int(sys.argv[1])], "int32")
made = make()(noise(LONGEST, rows=2), lengths)
np.save(sys.argv[2], ops.convert_to_numpy(made))
"""


@pytest.mark.parametrize(
    "second",
    [pytest.param(LONGEST, marks=pytest.mark.slow), LONGEST // 2],
    ids=["full", "padded"],
)
def test_embedding_is_the_same_on_torch(tmp_path, encoder, second):
    # Kokoro's tools hear with it where there is no TensorFlow.
    pytest.importorskip("torch")
    lengths = np.array([LONGEST, second], "int32")
    expected = np.asarray(encoder(noise(LONGEST, rows=2), lengths))
    target = tmp_path / "made.npy"
    run = subprocess.run(
        [sys.executable, "-c", ON_TORCH, str(second), str(target)],
        cwd=GOLDEN.parents[2],
        env=os.environ | {"KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    np.testing.assert_allclose(np.load(target), expected, atol=TOLERANCE * np.abs(expected).max())
