"""Choosing a backend, and what every backend refuses."""

import numpy as np
import pytest

from myxtts.errors import ConfigError, TextError, WeightsError
from tools.kokoro.backends import interface, opening

VOCABULARY = {"a": 43, "b": 44, " ": 16}


def test_unknown_symbols_are_dropped():
    assert interface.encode("a§b", VOCABULARY) == [43, 44]


@pytest.mark.parametrize(("phonemes", "said"), [("§", "no phoneme"), ("a" * 511, "511 phonemes")])
def test_text_that_does_not_fit_is_refused(phonemes, said):
    with pytest.raises(TextError, match=said):
        interface.encode(phonemes, VOCABULARY)


def test_as_many_phonemes_as_a_voice_has_rows_are_taken():
    assert len(interface.encode("a" * interface.MAX_PHONEMES, VOCABULARY)) == 510


@pytest.mark.parametrize("styles", [np.zeros(256), np.zeros((1, 128)), np.full((1, 256), np.nan)])
def test_styles_of_another_shape_or_not_finite_are_refused(styles):
    with pytest.raises(ConfigError, match="style"):
        interface.check_styles(styles)


def test_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="'jax' is unknown"):
        opening.open_backend("jax")


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(WeightsError, match="nowhere do not exist"):
        opening.open_backend(weights=tmp_path / "nowhere")


def test_file_decides_the_kind(tmp_path):
    (tmp_path / "kokoro.onnx").touch()
    assert opening._kind_of(tmp_path / "kokoro.onnx") == "onnx"
    assert opening._kind_of(tmp_path) == "onnx"
    assert opening._kind_of(tmp_path / "other") == "kmodel"


@pytest.mark.parametrize("device", ["tpu0", "meta", "cuda:x", "cuda:99"])
def test_a_device_that_cannot_be_used_is_refused(device):
    torch_backend = pytest.importorskip("tools.kokoro.backends.torch", reason="needs torch")
    with pytest.raises(ConfigError, match=f"there is no device '{device}'"):
        torch_backend.TorchBackend.open(device=device)
