"""Resemblyzer's port against its golden twin, and the negative twins; no torch needed."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.upstream.drawn import draw_weights
from myxtts.audio.frontends import RESEMBLYZER
from myxtts.audio.mel import MelSpectrogram
from myxtts.errors import WeightsError
from myxtts.models.resemblyzer import LAYERS, ResemblyzerEncoder, num_partials
from myxtts.weights import resemblyzer

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "resemblyzer.npz"
CLIPS = ("short", "long", "dropped", "quiet")
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def golden() -> dict:
    with np.load(GOLDEN) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture
def arrays(golden) -> dict:
    """The upstream's state of the golden file, for a test to spoil."""
    shapes = json.loads(str(golden["shapes"]))
    return draw_weights({key: tuple(shape) for key, shape in shapes.items()})


def loaded(arrays: dict) -> ResemblyzerEncoder:
    encoder = ResemblyzerEncoder()
    encoder.build()
    resemblyzer.load(encoder, arrays)
    return encoder


def audio_of(golden: dict, name: str) -> np.ndarray:
    return golden[f"clip/{name}"].astype("float32") / 32_768


def error(encoder: ResemblyzerEncoder, golden: dict, name: str) -> float:
    ours = np.asarray(encoder(audio_of(golden, name)[None])[0])
    return float(np.max(np.abs(ours - golden[f"embedding/{name}"])))


def test_front_end_equals_the_golden_mel(golden):
    mel = np.asarray(MelSpectrogram(RESEMBLYZER)(audio_of(golden, "short")[None])[0])
    assert mel.shape == golden["mel"].shape
    assert np.max(np.abs(mel - golden["mel"])) <= TOLERANCE * np.max(golden["mel"])


def test_partial_utterances_equal_the_golden_counts(golden):
    ours = [int(num_partials(int(samples))) for samples in golden["samples"]]
    assert ours == golden["partials"].tolist()


@pytest.mark.parametrize("name", CLIPS)
def test_embeddings_equal_the_golden_ones(golden, arrays, name):
    assert error(loaded(arrays), golden, name) <= TOLERANCE


def test_padding_and_batching_change_nothing(golden, arrays):
    encoder = loaded(arrays)
    lengths = np.array([len(golden[f"clip/{name}"]) for name in CLIPS])
    batch = np.zeros((len(CLIPS), 60_000), "float32")
    for row, name in zip(batch, CLIPS, strict=True):
        row[: len(golden[f"clip/{name}"])] = audio_of(golden, name)
    for ours, name in zip(np.asarray(encoder(batch, lengths)), CLIPS, strict=True):
        assert np.max(np.abs(ours - golden[f"embedding/{name}"])) <= TOLERANCE, name


def test_swapped_gates_would_be_noticed(golden, arrays):
    size = arrays["lstm.weight_ih_l0"].shape[0] // 4
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        key = f"lstm.{kind}_l0"
        first, second, *rest = np.split(arrays[key], [size, 2 * size])
        arrays[key] = np.concatenate([second, first, *rest])
    assert error(loaded(arrays), golden, "long") > 100 * TOLERANCE


def test_another_hop_would_be_noticed(golden, arrays, monkeypatch):
    shifted = dataclasses.replace(RESEMBLYZER, hop_length=RESEMBLYZER.hop_length - 1)
    monkeypatch.setattr("myxtts.models.resemblyzer.RESEMBLYZER", shifted)
    assert error(loaded(arrays), golden, "long") > 10 * TOLERANCE


def test_volume_that_is_not_raised_would_be_noticed(golden, arrays, monkeypatch):
    monkeypatch.setattr("myxtts.models.resemblyzer.TARGET_DBFS", -60.0)
    assert error(loaded(arrays), golden, "quiet") > 100 * TOLERANCE


@pytest.mark.parametrize("key", ["lstm.weight_hh_l1", "lstm.bias_ih_l2", "linear.weight"])
def test_a_missing_key_is_refused(arrays, key):
    del arrays[key]
    with pytest.raises(WeightsError, match=f"missing {key}"):
        loaded(arrays)


def test_an_unknown_key_is_refused(arrays):
    arrays[f"lstm.weight_ih_l{LAYERS}"] = arrays["lstm.weight_ih_l1"]
    with pytest.raises(WeightsError, match=f"not used lstm.weight_ih_l{LAYERS}"):
        loaded(arrays)


def test_a_transposed_kernel_is_refused_and_nothing_is_set(arrays):
    arrays["lstm.weight_ih_l0"] = arrays["lstm.weight_ih_l0"].T
    encoder = ResemblyzerEncoder()
    encoder.build()
    before = [np.array(variable) for variable in encoder.weights]
    with pytest.raises(WeightsError, match="shape"):
        resemblyzer.load(encoder, arrays)
    for one, other in zip(before, encoder.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_loss_of_the_upstream_is_left_out_for_a_reason(golden, arrays):
    arrays |= {"similarity_weight": np.ones(1), "similarity_bias": np.zeros(1)}
    assert error(loaded(arrays), golden, "short") <= TOLERANCE
    assert all(resemblyzer.IGNORED.values())
