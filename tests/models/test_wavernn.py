"""WaveRNN against the numbers of Real-Time-Voice-Cloning, and against a numpy twin."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.errors import CheckpointError
from myxtts.models.wavernn import WaveRNN
from myxtts.vocoder_config import WaveRNNConfig
from myxtts.vocoder_losses import class_losses, mixture_losses, mixture_sample
from myxtts.weights import rtvc_vocoder
from tests.sv2tts_fixtures import drawn_vocoder, fixture, weights

TINY = WaveRNNConfig(
    bits=4,
    feat_dims=5,
    rnn_dims=7,
    fc_dims=6,
    compute_dims=8,
    res_out_dims=8,
    res_blocks=1,
    pad=1,
    upsample_factors=(2, 3),
)


def from_arrays(arrays) -> WaveRNN:
    model = WaveRNN(rtvc_vocoder.sizes_of(arrays))
    model.build()
    rtvc_vocoder.load(model, arrays)
    return model


def channels_last(mels):
    return np.swapaxes(mels, 1, 2)


def assert_near(found, wanted, tolerance=1e-4):
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


def test_forward_equals_rtvcs():
    arrays = fixture("wavernn_forward_eval")
    model, mels = from_arrays(weights(arrays)), channels_last(arrays["in/mels"])
    assert_near(model.upsample(mels), arrays["out/upsampled_mels"])
    aux = np.repeat(np.asarray(model.features(mels)), model.sizes.hop_length, axis=1)
    assert_near(aux, arrays["out/aux"])
    logits = model((arrays["in/x"], mels))
    assert_near(logits, arrays["out/logits"])
    assert_near(model.loss_of(logits, arrays["in/labels"]), arrays["out/loss"])


@pytest.mark.parametrize("key", ["rnn1.weight_hh_l0", "upsample.up_layers.1.weight", "I.bias"])
def test_forward_hears_every_weight(key):
    arrays = fixture("wavernn_forward_eval")
    wrong = weights(arrays)
    wrong[key] = wrong[key] * 1.01
    logits = from_arrays(wrong)((arrays["in/x"], channels_last(arrays["in/mels"])))
    with pytest.raises(AssertionError):
        assert_near(logits, arrays["out/logits"])


def test_training_step_equals_rtvcs():
    arrays = fixture("wavernn_train_step")
    model = from_arrays(weights(arrays))
    with tf.GradientTape() as tape:
        logits = model((arrays["in/x"], channels_last(arrays["in/mels"])), training=True)
        loss = model.loss_of(logits, arrays["in/labels"])
    assert_near(logits, arrays["out/logits"])
    assert_near(loss, arrays["out/loss"])
    variables = model.variables_by_name()
    learned = [rule for rule in rtvc_vocoder.rules(model.sizes) if "moving" not in rule.target]
    gradients = tape.gradient(loss, [variables[rule.target].value for rule in learned])
    for rule, gradient in zip(learned, gradients, strict=True):
        wanted = rule.transform(*(arrays[f"grad/{key}"] for key in rule.sources))
        assert_near(gradient, wanted)
    state = rtvc_vocoder.state_dict(model, 1)
    for key, wanted in weights(arrays, "after/").items():
        if ".running_" in key:
            assert_near(state[key], wanted)


def test_biased_statistics_are_not_torchs():
    """The negative twin: Keras's own batch norm keeps another variance."""
    arrays = fixture("wavernn_train_step")
    model = from_arrays(weights(arrays))
    twin = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    hidden = model.resnet.conv_in(channels_last(arrays["in/mels"]))
    twin.build(hidden.shape)
    for own, other in zip(twin.weights, model.resnet.batch_norm.weights, strict=True):
        own.assign(other)
    twin(hidden, training=True)
    with pytest.raises(AssertionError):
        wanted = arrays["after/upsample.resnet.batch_norm.running_var"]
        assert_near(twin.moving_variance, wanted)


def test_mixture_equals_rtvcs():
    arrays = fixture("wavernn_mol")
    model = from_arrays(weights(arrays))
    logits = model((arrays["in/x"], channels_last(arrays["in/mels"])))
    assert_near(logits, arrays["out/logits"])
    samples = arrays["in/y"][..., 0]
    for name, kind in (("out/logits", ""), ("in/logits_sharp", "_sharp")):
        losses = mixture_losses(arrays[name], samples)
        assert_near(losses, arrays[f"out/loss{kind}_unreduced"][..., 0], 1e-3)
        assert_near(np.mean(losses), arrays[f"out/loss{kind}"], 1e-3)
    drawn = mixture_sample(
        arrays["in/logits_sharp"], arrays["in/uniform_mixture"], arrays["in/uniform_logistic"]
    )
    assert_near(drawn, arrays["out/sample"])


def test_mixture_loss_is_a_logarithm_of_chances():
    """Over all 65,536 levels the chances of a mixture away from the ends come to one."""
    parameters = 0.2 * np.random.default_rng(0).normal(size=30).astype("float32")
    parameters[20:] = -4
    levels = np.linspace(-1, 1, 65_536).astype("float32")
    chances = np.exp(-np.asarray(mixture_losses(np.tile(parameters, (65_536, 1)), levels)))
    assert chances.sum() == pytest.approx(1, abs=0.01)


def test_full_size_equals_rtvcs():
    arrays = fixture("full_size_seeded")
    model = from_arrays(drawn_vocoder(int(arrays["seed"])))
    labels = np.random.RandomState(5).randint(0, 512, (1, 1000))
    samples = (2 * labels / 511 - 1).astype("float32")
    mels = np.clip(0.5 * np.random.RandomState(6).standard_normal((1, 80, 9)), -1, 1)
    mels = channels_last(mels.astype("float32"))
    assert_near(model((samples, mels))[:, ::25], arrays["wavernn/out/logits_every_25th"])
    assert_near(model.upsample(mels)[:, ::25], arrays["wavernn/out/upsampled_mels_every_25th"])
    aux = np.repeat(np.asarray(model.features(mels)), 200, axis=1)
    assert_near(aux[:, ::25], arrays["wavernn/out/aux_every_25th"])
    assert sum(np.prod(item.shape) for item in model.trainable_variables) == 4_480_935


def tiny_model(mode: str = "RAW", **changes) -> WaveRNN:
    keras.utils.set_random_seed(3)
    sizes = WaveRNNConfig(**{**vars(TINY), "mode": mode, **changes})
    model = WaveRNN(sizes)
    model.build()
    return model


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def gru(layer, inputs, state):
    """One step of a GRU in numpy, gates z, r, h."""
    kernel, recurrent, bias = (np.asarray(item) for item in layer.cell.weights)
    own = np.split(inputs @ kernel + bias[0], 3, axis=-1)
    kept = np.split(state @ recurrent + bias[1], 3, axis=-1)
    update, reset = sigmoid(own[0] + kept[0]), sigmoid(own[1] + kept[1])
    return update * state + (1 - update) * np.tanh(own[2] + reset * kept[2])


def dense(layer, inputs):
    return inputs @ np.asarray(layer.kernel) + np.asarray(layer.bias)


def test_forward_equals_a_numpy_twin():
    model, rng = tiny_model(), np.random.default_rng(0)
    mels, samples = rng.normal(size=(1, 6, 5)), rng.uniform(-1, 1, (1, 24))
    logits = np.asarray(model((samples.astype("float32"), mels.astype("float32"))))
    mel = np.asarray(model.upsample(mels.astype("float32")))[0]
    aux = np.split(np.repeat(np.asarray(model.features(mels))[0], 6, axis=0), 4, axis=-1)
    one = two = np.zeros(7)
    for place in range(24):
        parts = [samples[0, place : place + 1], mel[place], aux[0][place]]
        hidden = dense(model.input_layer, np.concatenate(parts))
        one = gru(model.rnn1, hidden, one)
        hidden = hidden + one
        two = gru(model.rnn2, np.concatenate([hidden, aux[1][place]]), two)
        hidden = hidden + two
        hidden = np.maximum(dense(model.fc1, np.concatenate([hidden, aux[2][place]])), 0)
        hidden = np.maximum(dense(model.fc2, np.concatenate([hidden, aux[3][place]])), 0)
        np.testing.assert_allclose(logits[0, place], dense(model.fc3, hidden), atol=1e-5)


def test_steps_are_the_forward():
    model, rng = tiny_model(), np.random.default_rng(1)
    mels = rng.normal(size=(2, 6, 5)).astype("float32")
    samples = rng.uniform(-1, 1, (2, 24)).astype("float32")
    whole = np.asarray(model((samples, mels)))
    up, aux = np.asarray(model.upsample(mels)), np.repeat(np.asarray(model.features(mels)), 6, 1)
    states = (np.zeros((2, 7), "float32"),) * 2
    for place in range(24):
        logits, states = model.step(samples[:, place], up[:, place], aux[:, place], states)
        np.testing.assert_allclose(logits, whole[:, place], atol=1e-5)


def test_class_loss_is_cross_entropy():
    logits = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    classes = np.array([[0, 1, 4], [2, 2, 3]])
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    wanted = -np.log(np.take_along_axis(chances, classes[..., None], -1)[..., 0])
    np.testing.assert_allclose(class_losses(logits, classes), wanted, rtol=1e-5)


@pytest.mark.parametrize("mode", ["RAW", "MOL"])
def test_preset_gives_the_model_back(tmp_path, mode):
    model = tiny_model(mode)
    model.trained_steps, model.provenance = 7, "local:vocoder.pt"
    model.save_to_preset(tmp_path / "preset")
    again = WaveRNN.from_preset(tmp_path / "preset")
    assert (again.sizes, again.trained_steps) == (model.sizes, 7)
    assert again.provenance == "local:vocoder.pt"
    for name, variable in model.variables_by_name().items():
        np.testing.assert_array_equal(variable, again.variables_by_name()[name])


def test_preset_of_another_kind_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no preset"):
        WaveRNN.from_preset(tmp_path)


def test_configuration_makes_the_model_again():
    model = tiny_model("MOL")
    again = WaveRNN.from_config(model.get_config())
    assert (again.sizes, again.name) == (model.sizes, model.name)
