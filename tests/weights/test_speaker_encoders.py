"""Pretrained weights are found, converted once, kept, and never replaced by random ones."""

import json
import sys

import numpy as np
import pytest

from benchmarks.upstream.drawn import draw_weights
from myxtts.errors import WeightsError
from myxtts.models.speaker_encoder import RANDOM, PretrainedSpeakerEncoder
from myxtts.weights import speaker_encoders
from myxtts.weights.speaker_encoders import SOURCES, find, load_pretrained_speaker_encoder
from myxtts.weights.torch_file import read_torch_file

SHAPES = {"linear.weight": (256, 256), "linear.bias": (256,)}
for _layer, _width in enumerate((40, 256, 256)):
    SHAPES |= {
        f"lstm.weight_ih_l{_layer}": (1024, _width),
        f"lstm.weight_hh_l{_layer}": (1024, 256),
        f"lstm.bias_ih_l{_layer}": (1024,),
        f"lstm.bias_hh_l{_layer}": (1024,),
    }
AUDIO = (0.1 * np.random.default_rng(0).normal(size=(1, 20_000))).astype("float32")


@pytest.fixture
def reads(monkeypatch, tmp_path) -> list:
    """Files that were read, in place of torch; the cache is a new folder."""
    read = []

    def reading(path, section):
        read.append(path)
        return draw_weights(SHAPES, seed=3)

    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(speaker_encoders, "read_torch_file", reading)
    return read


@pytest.fixture
def file(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "pretrained.pt").write_bytes(b"stands for the upstream's file")
    return folder / "pretrained.pt"


def loaded(path=None) -> PretrainedSpeakerEncoder:
    encoder = PretrainedSpeakerEncoder("resemblyzer")
    load_pretrained_speaker_encoder(encoder, path)
    return encoder


def test_a_file_and_its_folder_are_the_same_source(reads, file):
    first, second = loaded(file), loaded(file.parent)
    assert first.provenance == second.provenance
    assert first.provenance.startswith("local:pretrained.pt@sha256:")
    np.testing.assert_array_equal(first(AUDIO), second(AUDIO))


def test_torch_is_needed_once_for_each_file(reads, file):
    loaded(file), loaded(file)
    assert len(reads) == 1
    file.write_bytes(b"another version of it")
    loaded(file)
    assert len(reads) == 2


def test_the_cache_says_what_it_holds(reads, file, tmp_path):
    encoder = loaded(file)
    manifest = json.loads(next((tmp_path / "cache").glob("*.json")).read_text())
    assert manifest["sha256"] == encoder.provenance.partition("sha256:")[2]
    assert manifest["licence"] == "not known (published: Apache-2.0)"
    assert "lstm.weight_ih_l0" in manifest["keys"]
    assert manifest["shapes"]["lstm_0/lstm_cell/kernel"] == [40, 1024]


def test_a_damaged_cache_is_converted_again(reads, file, tmp_path, caplog):
    before = np.asarray(loaded(file)(AUDIO))
    cached = next((tmp_path / "cache").glob("*.safetensors"))
    cached.write_bytes(cached.read_bytes()[:1000])
    np.testing.assert_array_equal(loaded(file)(AUDIO), before)
    assert len(reads) == 2
    assert "Converting the weights again" in caplog.text
    loaded(file)
    assert len(reads) == 2


def test_a_cache_that_cannot_be_written_only_costs_time(reads, file, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file is in the way")
    assert loaded(file).provenance != RANDOM
    assert "could not be kept" in caplog.text


def test_weights_that_do_not_fit_leave_the_encoder_random(file, monkeypatch, tmp_path):
    arrays = draw_weights(SHAPES)
    del arrays["linear.bias"]
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(speaker_encoders, "read_torch_file", lambda *args: arrays)
    encoder = PretrainedSpeakerEncoder("resemblyzer")
    with pytest.raises(WeightsError, match=r"missing linear\.bias"):
        load_pretrained_speaker_encoder(encoder, file)
    assert encoder.provenance == RANDOM
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A ``resemblyzer`` on the path that must not be imported."""
    folder = tmp_path / "site" / "resemblyzer"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.delitem(sys.modules, "resemblyzer", raising=False)
    return folder


def test_the_installed_package_is_found_and_not_imported(package):
    (package / "pretrained.pt").write_bytes(b"weights")
    metadata = package.parent / "resemblyzer-9.9.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: resemblyzer\nVersion: 9.9\n")
    found = find(SOURCES["resemblyzer"], None)
    assert found == (package / "pretrained.pt", "resemblyzer==9.9")
    assert "resemblyzer" not in sys.modules


def test_a_package_without_metadata_is_found_too(package, monkeypatch):
    import importlib.metadata

    def unknown(name):
        raise importlib.metadata.PackageNotFoundError(name)

    (package / "pretrained.pt").write_bytes(b"weights")
    monkeypatch.setattr(importlib.metadata, "version", unknown)
    assert find(SOURCES["resemblyzer"], None)[1] == "resemblyzer"


def test_a_package_without_weights_is_named_with_a_remedy(package):
    with pytest.raises(WeightsError) as caught:
        find(SOURCES["resemblyzer"], None)
    for part in ("pretrained.pt", str(package), "pip install --no-deps resemblyzer==0.1.4"):
        assert part in str(caught.value)


def test_without_torch_the_command_is_named(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(WeightsError, match="pip install torch"):
        read_torch_file(file)
