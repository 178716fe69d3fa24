"""RTVC's ``synthesizer.pt``: read with its Adam, written again, and what is refused."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from myxtts.errors import WeightsError
from myxtts.models.tacotron import Tacotron
from myxtts.synthesizer_config import SynthesizerTrainingConfig, TacotronConfig
from myxtts.training.stages.synthesizer import make_adam
from myxtts.weights import rtvc_synthesizer as rtvc
from myxtts.weights.torch_file import read_torch_content, write_torch_file
from tests.models.test_tacotron import tiny
from tests.sv2tts_fixtures import keys_of

torch = pytest.importorskip("torch", reason="torch is not installed")
PHASES = SynthesizerTrainingConfig(schedule=("3:1e-3:100:2",))


def saved(path, steps: int = 4) -> dict:
    """A file as RTVC writes it, with an Adam of torch's own."""
    model = tiny()
    model.r, model.step = 3, steps
    rng, state = np.random.default_rng(0), rtvc.state(model)
    for key, value in state.items():
        if value.dtype == "float32" and value.ndim:
            state[key] = np.abs(rng.normal(size=value.shape)).astype("float32")
    order = rtvc.parameter_order(model.config)
    learned = [torch.nn.Parameter(torch.tensor(state[key])) for key in order]
    adam = torch.optim.Adam(learned)
    for _ in range(steps):
        for item in learned:
            shape = tuple(item.shape)
            item.grad = torch.tensor(rng.normal(size=shape).astype("float32"))
        adam.step()
    tensors = {key: torch.tensor(value) for key, value in state.items()}
    tensors |= {key: item.detach() for key, item in zip(order, learned, strict=True)}
    torch.save({"model_state": tensors, "optimizer_state": adam.state_dict()}, path)
    return {key: item.numpy() for key, item in tensors.items()}


def test_the_keys_and_their_order_are_rtvcs():
    keys = keys_of("synthesizer")
    config = Tacotron().config
    learned = [
        key
        for key, (_, kind) in keys.items()
        if kind == "float32" and key != "stop_threshold" and "running" not in key
    ]
    assert rtvc.parameter_order(config) == learned
    assert len(learned) == 125


@pytest.mark.parametrize("max_r", [1, 7])
def test_the_most_frames_of_a_step_are_read_off_the_shapes(tmp_path, max_r):
    model = Tacotron(replace(tiny().config, max_r=max_r), r=1)
    model.build()
    rtvc.write(tmp_path / "synthesizer.pt", model)
    again = rtvc.read(tmp_path / "synthesizer.pt").config
    assert (again.max_r, again.n_mels) == (max_r, model.config.n_mels)
    arrays = rtvc.state(model)
    arrays["decoder.mel_proj.weight"] = arrays["decoder.mel_proj.weight"][:-1]
    with pytest.raises(WeightsError, match="no whole frames"):
        rtvc.sizes(arrays)


def test_a_post_net_as_wide_as_a_mel_has_no_layer_between(tmp_path):
    sizes = replace(tiny().config, n_mels=6)
    for width in (6, 8):
        model = Tacotron(replace(sizes, postnet_dims=width), r=2)
        model.build()
        rtvc.write(tmp_path / "synthesizer.pt", model)
        again = rtvc.read(tmp_path / "synthesizer.pt")
        assert again.config.postnet_dims == width
        for ours, theirs in zip(again.weights_only(), model.weights_only(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        order = rtvc.parameter_order(model.config)
        assert ("postnet.pre_highway.weight" in order) == (width != sizes.n_mels)
        # torch has two biases of a recurrent layer where Keras has one.
        second = sum("bias_hh" in key for key in order)
        assert len(order) == len(model.trainable_variables) + second


def test_the_decoders_pre_net_is_twice_its_width():
    for given, width in (({}, 24), ({"prenet_dims": 5}, 5)):
        sizes = TacotronConfig().merged({"decoder_dims": 12, **given})
        assert sizes.prenet_width == width
    model = Tacotron(replace(tiny().config, decoder_dims=6, prenet_dims=0), r=2)
    model.build()
    state = rtvc.state(model)
    assert state["decoder.prenet.fc1.weight"].shape == (12, model.config.n_mels)
    assert rtvc.sizes(state).prenet_dims == 0


def made_adam(model, folder):
    counted = keras.Variable(0, dtype="int64", trainable=False)
    adam = make_adam(PHASES, model, 4, counted, folder / "synthesizer.pt")
    assert int(counted) == int(adam.iterations)
    return adam


def test_a_file_there_and_back(tmp_path):
    arrays = saved(tmp_path / "synthesizer.pt")
    model = rtvc.read(tmp_path / "synthesizer.pt")
    assert (model.r, model.step, model.config.lstm_dims) == (3, 4, 10)
    assert not model.config.masked_attention
    before = read_torch_content(tmp_path / "synthesizer.pt")
    adam = made_adam(model, tmp_path)
    assert int(adam.iterations) == 4
    rtvc.write(tmp_path / "again.pt", model, adam)
    after = read_torch_content(tmp_path / "again.pt")
    assert after["model_state"].keys() == arrays.keys()
    for key, value in arrays.items():
        assert np.array_equal(after["model_state"][key], value), key
        assert after["model_state"][key].dtype == value.dtype
    states = before["optimizer_state"]["state"], after["optimizer_state"]["state"]
    assert states[0].keys() == states[1].keys()
    for number, entry in states[0].items():
        for name, value in entry.items():
            assert np.array_equal(states[1][number][name], value), (number, name)


def test_torch_takes_the_state_of_adam(tmp_path):
    saved(tmp_path / "synthesizer.pt")
    model = rtvc.read(tmp_path / "synthesizer.pt")
    adam = made_adam(model, tmp_path)
    rtvc.write(tmp_path / "again.pt", model, adam)
    content = torch.load(tmp_path / "again.pt", weights_only=True)
    state = content["model_state"]
    own = [torch.nn.Parameter(state[key]) for key in rtvc.parameter_order(model.config)]
    theirs = torch.optim.Adam(own)
    theirs.load_state_dict(content["optimizer_state"])
    rng, gradients, order = np.random.default_rng(1), {}, rtvc.parameter_order(model.config)
    for key, item in zip(order, own, strict=True):
        gradients[key] = 1e-3 * rng.normal(size=tuple(item.shape)).astype("float32")
        item.grad = torch.tensor(gradients[key])
    theirs.step()
    slots = {id(v): name for name, v in model.variables_by_name().items()}
    made = {rule.target: rule.transform(*(gradients[k] for k in rule.sources))
            for rule in rtvc.rules(model.config) if rule.sources[0] in gradients}  # fmt: skip
    adam.apply([made[slots[id(v)]] for v in model.trainable_variables], model.trainable_variables)
    after = rtvc.state(model)
    for key, item in zip(order, own, strict=True):
        np.testing.assert_allclose(after[key], item.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("key", "kind"),
    [("upsample.resnet.conv_in.weight", "vocoder"), ("lstm.weight_ih_l0", "speaker encoder")],
)
def test_files_of_another_kind_are_refused(tmp_path, key, kind):
    write_torch_file(tmp_path / "x.pt", {"model_state": {key: np.zeros((2, 2), "float32")}})
    with pytest.raises(WeightsError, match=f"is no synthesizer of .*: it holds a {kind}"):
        rtvc.read(tmp_path / "x.pt")


def test_other_symbols_must_be_as_many(tmp_path):
    saved(tmp_path / "synthesizer.pt")
    with pytest.raises(WeightsError, match="reads 66 symbols, 3 are given"):
        rtvc.read(tmp_path / "synthesizer.pt", ("_", "~", "a"))
