"""RTVC's ``vocoder.pt``: read with its Adam, written as torch's own Adam takes it."""

import numpy as np
import pytest

from myxtts.errors import WeightsError
from myxtts.models.wavernn import WaveRNN
from myxtts.weights import rtvc_vocoder
from myxtts.weights.torch_file import read_torch_content, write_torch_file
from tests.models.test_wavernn import TINY
from tests.sv2tts_fixtures import fixture, keys_of, weights

torch = pytest.importorskip("torch", reason="torch is not installed")


def saved(path, kind: str = "RAW", wrapped: bool = True, step: int = 5):
    """A file as RTVC writes it, with a model whose parameters are those of a small WaveRNN."""
    model = WaveRNN(rtvc_vocoder.WaveRNNConfig(**{**vars(TINY), "mode": kind}))
    model.build()
    rng = np.random.default_rng(0)
    arrays = {
        key: np.array(step if "tracked" in key else [step], "int64")
        if value.dtype == "int64"
        else np.abs(rng.normal(size=value.shape)).astype("float32")
        for key, value in rtvc_vocoder.state_dict(model, step).items()
    }
    learned = {
        name: torch.nn.Parameter(torch.tensor(arrays[name]), requires_grad=name != "step")
        for name in rtvc_vocoder.parameters(model.sizes)
    }
    adam = torch.optim.Adam(list(learned.values()), lr=1e-4)
    for _ in range(step):
        for name, parameter in learned.items():
            if name != "step":
                shape = tuple(parameter.shape)
                parameter.grad = torch.tensor(rng.normal(size=shape).astype("float32"))
        adam.step()
    state = {key: torch.tensor(array) for key, array in arrays.items()}
    state |= {name: value.detach() for name, value in learned.items()}
    torch.save({"model_state": state, "optimizer_state": adam.state_dict()} if wrapped else state,
               path)  # fmt: skip
    return learned, adam


@pytest.mark.parametrize("kind", ["RAW", "MOL"])
def test_round_trip_is_equal(tmp_path, kind):
    saved(tmp_path / "vocoder.pt", kind)
    model, adam = rtvc_vocoder.open_vocoder(tmp_path / "vocoder.pt")
    assert (model.sizes.mode, model.trained_steps, adam.step) == (kind, 5, 5)
    assert model.provenance.startswith("local:vocoder.pt@sha256:")
    rtvc_vocoder.write(tmp_path / "again.pt", model, 5, adam)
    first, second = (read_torch_content(tmp_path / name) for name in ("vocoder.pt", "again.pt"))
    assert first["model_state"].keys() == second["model_state"].keys()
    for key, value in first["model_state"].items():
        assert second["model_state"][key].dtype == value.dtype
        np.testing.assert_array_equal(second["model_state"][key], value)
    states = [content["optimizer_state"]["state"] for content in (first, second)]
    assert states[0].keys() == states[1].keys()
    assert 0 not in states[0]
    for place, state in states[0].items():
        for name, value in state.items():
            np.testing.assert_array_equal(states[1][place][name], value)
    assert first["optimizer_state"]["param_groups"][0]["params"] == list(range(len(states[0]) + 1))


def test_torchs_adam_goes_on_with_what_is_written(tmp_path):
    learned, adam = saved(tmp_path / "vocoder.pt")
    model, state = rtvc_vocoder.open_vocoder(tmp_path / "vocoder.pt")
    rtvc_vocoder.write(tmp_path / "again.pt", model, 5, state)
    content = torch.load(tmp_path / "again.pt", weights_only=True)
    copies = [
        torch.nn.Parameter(content["model_state"][name], requires_grad=name != "step")
        for name in learned
    ]
    other = torch.optim.Adam(copies)
    other.load_state_dict(content["optimizer_state"])
    for own, copy in zip(learned.values(), copies, strict=True):
        if own.requires_grad:
            own.grad = copy.grad = torch.ones_like(own)
    adam.step()
    other.step()
    for own, copy in zip(learned.values(), copies, strict=True):
        assert torch.equal(own, copy)


def test_bare_state_dictionary_is_read(tmp_path):
    saved(tmp_path / "vocoder.pt", wrapped=False)
    model, adam = rtvc_vocoder.open_vocoder(tmp_path / "vocoder.pt")
    assert (model.trained_steps, adam) == (5, None)


def test_untrained_file_has_no_state(tmp_path):
    model = WaveRNN(TINY)
    model.build()
    rtvc_vocoder.write(tmp_path / "vocoder.pt", model, 0)
    _, adam = rtvc_vocoder.open_vocoder(tmp_path / "vocoder.pt")
    assert adam is None


@pytest.mark.parametrize("kind", ["RAW", "MOL"])
def test_keys_are_rtvcs(kind):
    wanted = keys_of(f"vocoder_{kind}")
    model = WaveRNN(rtvc_vocoder.WaveRNNConfig(mode=kind))
    model.build()
    state = rtvc_vocoder.state_dict(model, 3)
    assert {key: [list(value.shape), str(value.dtype)] for key, value in state.items()} == wanted
    assert list(state) == list(wanted)


def test_fixtures_come_back_bit_for_bit():
    arrays = weights(fixture("wavernn_forward_eval"))
    model = WaveRNN(rtvc_vocoder.sizes_of(arrays))
    model.build()
    rtvc_vocoder.load(model, arrays)
    state = rtvc_vocoder.state_dict(model, int(arrays["step"][0]))
    assert state.keys() == arrays.keys()
    for key, value in arrays.items():
        if "tracked" not in key:
            np.testing.assert_array_equal(state[key], value)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("encoder.embedding.weight", "a synthesizer of Real-Time-Voice-Cloning"),
        ("lstm.weight_ih_l0", "a speaker encoder of Real-Time-Voice-Cloning"),
        ("other", "something else"),
    ],
)
def test_files_of_other_models_are_refused(tmp_path, key, told):
    write_torch_file(tmp_path / "file.pt", {"model_state": {key: np.zeros(3, "float32")}})
    with pytest.raises(WeightsError, match=f"is no vocoder: it holds {told}"):
        rtvc_vocoder.open_vocoder(tmp_path / "file.pt")


def test_missing_weights_are_named(tmp_path):
    saved(tmp_path / "vocoder.pt")
    content = read_torch_content(tmp_path / "vocoder.pt")
    del content["model_state"]["rnn2.weight_hh_l0"]
    write_torch_file(tmp_path / "less.pt", content)
    with pytest.raises(WeightsError, match=r"rnn2\.weight_hh_l0"):
        rtvc_vocoder.open_vocoder(tmp_path / "less.pt")


def test_states_of_another_optimizer_are_refused(tmp_path):
    saved(tmp_path / "vocoder.pt")
    content = read_torch_content(tmp_path / "vocoder.pt")
    content["optimizer_state"]["param_groups"][0]["params"].pop()
    write_torch_file(tmp_path / "other.pt", content)
    with pytest.raises(WeightsError, match="the optimizer's state is of"):
        rtvc_vocoder.open_vocoder(tmp_path / "other.pt")
