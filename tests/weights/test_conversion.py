"""The law of conversion: transforms, refusals, and a layer that a refusal leaves alone."""

import keras
import numpy as np
import pytest

from myxtts.errors import WeightsError
from myxtts.weights import conversion
from myxtts.weights.conversion import Rule, affine, convert, fold_weight_norm, linear

RULES = affine("proj", "inner", linear)


class Outer(keras.layers.Layer):
    """A Dense layer inside a layer."""

    def __init__(self, inputs: int = 3, outputs: int = 2):
        super().__init__(name="outer")
        self.inner = keras.layers.Dense(outputs, name="inner")
        self.inner.build((None, inputs))
        self.built = True


@pytest.fixture
def arrays() -> dict:
    rng = np.random.default_rng(0)
    return {
        "proj.weight": rng.normal(size=(2, 3)).astype("float32"),
        "proj.bias": rng.normal(size=2).astype("float32"),
    }


def test_every_weight_is_set(arrays):
    layer = Outer()
    convert(arrays, RULES, layer)
    np.testing.assert_array_equal(layer.inner.kernel, arrays["proj.weight"].T)
    np.testing.assert_array_equal(layer.inner.bias, arrays["proj.bias"])


def refused(arrays, rules, match, ignored=None):
    """The conversion raises, and the layer is as it was."""
    layer = Outer()
    before = [np.array(weight) for weight in layer.weights]
    with pytest.raises(WeightsError, match=match):
        convert(arrays, rules, layer, ignored)
    for old, new in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_missing_key_is_named(arrays):
    del arrays["proj.bias"]
    refused(arrays, RULES, "missing proj.bias")


def test_an_unused_key_is_named(arrays):
    refused(arrays | {"extra": np.zeros(1)}, RULES, "not used extra")


def test_an_ignored_pattern_covers_only_its_keys(arrays):
    ignored = {"loss.*": "of training"}
    convert(arrays | {"loss.sum": np.zeros(1)}, RULES, Outer(), ignored)
    refused(arrays | {"lost.sum": np.zeros(1)}, RULES, "not used lost.sum", ignored)


def test_a_key_used_twice_is_named(arrays):
    rules = [RULES[0], Rule("proj.weight", "inner/bias")]
    refused(arrays, rules, "used twice proj.weight")


def test_a_weight_without_a_rule_is_named(arrays):
    refused({"proj.weight": arrays["proj.weight"]}, RULES[:1], "not set inner/bias")


def test_a_rule_for_no_weight_is_named(arrays):
    rules = [*RULES, Rule("more", "inner/gain")]
    refused(arrays | {"more": np.zeros(1)}, rules, "unknown inner/gain")


def test_a_weight_set_twice_is_named(arrays):
    rules = [*RULES, Rule("more", "inner/bias")]
    refused(arrays | {"more": np.zeros(2)}, rules, "set twice inner/bias")


def test_another_shape_is_named_on_both_sides(arrays):
    arrays["proj.weight"] = arrays["proj.weight"].T
    refused(arrays, RULES, r"proj.weight gives shape \(2, 3\), inner/kernel has \(3, 2\)")


def test_an_array_of_another_rank_is_refused(arrays):
    refused(arrays, affine("proj", "inner", conversion.conv1d), "no conv1d")


def test_a_long_list_is_cut(arrays):
    extra = {f"extra_{number}": np.zeros(1) for number in range(9)}
    refused(arrays | extra, RULES, "extra_2 and 6 more")


def test_two_biases_become_one(arrays):
    bias = arrays.pop("proj.bias")
    rules = [RULES[0], Rule(("ih", "hh"), "inner/bias", conversion.added)]
    layer = Outer()
    convert(arrays | {"ih": bias, "hh": 2 * bias}, rules, layer)
    np.testing.assert_allclose(layer.inner.bias, 3 * bias, rtol=1e-6)


@pytest.mark.parametrize(
    "names",
    [("parametrizations.weight.original0", "parametrizations.weight.original1"),
     ("weight_g", "weight_v")],
)  # fmt: skip
def test_weight_norm_is_folded_in_both_spellings(names):
    rng = np.random.default_rng(0)
    gain = rng.normal(size=(4, 1, 1)).astype("float32")
    direction = rng.normal(size=(4, 5, 3)).astype("float32")
    source = {f"up.{names[0]}": gain, f"up.{names[1]}": direction, "up.bias": np.zeros(5)}
    folded = fold_weight_norm(source)
    assert set(folded) == {"up.weight", "up.bias"}
    lengths = np.linalg.norm(folded["up.weight"].reshape(4, -1), axis=1)
    np.testing.assert_allclose(lengths, np.abs(gain[:, 0, 0]), rtol=1e-5)
    assert len(source) == 3


@pytest.mark.parametrize("lost", ["weight_g", "weight_v"])
def test_half_a_weight_norm_is_refused(lost):
    source = {"proj.weight_g": np.ones((2, 1)), "proj.weight_v": np.ones((2, 3))}
    source["proj.bias"] = np.zeros(2)
    del source[f"proj.{lost}"]
    with pytest.raises(WeightsError, match="proj.weight"):
        convert(fold_weight_norm(source), RULES, Outer())


def keras_layers() -> dict:
    """Each transform's Keras layer, what torch calls it, and an input (channels last)."""
    layers = keras.layers
    return {
        "linear": (layers.Dense(4), "Linear", (3, 4), {}, (2, 3)),
        "pointwise": (layers.Dense(4), "Conv1d", (3, 4, 1), {}, (2, 7, 3)),
        "conv1d": (layers.Conv1D(4, 3), "Conv1d", (3, 4, 3), {}, (2, 7, 3)),
        "conv_transpose1d": (
            layers.Conv1DTranspose(4, 8, strides=4, padding="same"),
            "ConvTranspose1d", (3, 4, 8), {"stride": 4, "padding": 2}, (2, 7, 3),
        ),
        "conv2d": (layers.Conv2D(4, (3, 2)), "Conv2d", (3, 4, (3, 2)), {}, (2, 7, 6, 3)),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(keras_layers()))
def test_transforms_give_torchs_outputs(name):
    torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")
    layer, kind, sizes, options, shape = keras_layers()[name]
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(*sizes, **options)
    inputs = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer.build(shape)
    layer.kernel.assign(getattr(conversion, name)(module.weight.detach().numpy()))
    layer.bias.assign(module.bias.detach().numpy())
    channels_last = len(shape) > 2
    theirs = torch.from_numpy(inputs)
    theirs = module(theirs.movedim(-1, 1)).movedim(1, -1) if channels_last else module(theirs)
    np.testing.assert_allclose(layer(inputs), theirs.detach(), atol=1e-5)
