"""``myxtts push``: a folder for the hub with a model card, or an archive."""

import json
from pathlib import Path

import pytest
import yaml

from myxtts.flags import run
from myxtts.models.xtts import XTTS
from myxtts.presets.hub import is_address
from myxtts.programs import push
from myxtts.text.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def preset(micro_config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "preset"
    model = XTTS(micro_config, train_tokenizer([("some words to learn from", "en")] * 4, 300))
    model.licence = "MIT, as MyXTTS"
    model.save_to_preset(folder)
    return folder


def call(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["myxtts push", *map(str, words)])
    return run(push.main, push.parser())


def header(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_a_folder_for_the_hub_has_a_card_and_loads(preset, monkeypatch, tmp_path, capsys):
    (preset / "notes.txt").write_text("mine")
    output = tmp_path / "hub"
    words = ("--preset", preset, "--output", output, "--repository", "me/voice")
    assert call(monkeypatch, *words) == 0
    assert f"hf upload me/voice {output}" in capsys.readouterr().out
    assert XTTS.from_preset(output).fingerprint == XTTS.from_preset(preset).fingerprint
    assert not (output / "notes.txt").exists()
    assert "lfs" in (output / ".gitattributes").read_text()
    told = header(output)
    assert (told["license"], told["pipeline_tag"]) == ("mit", "text-to-speech")
    assert "en" in told["language"]
    card = (output / "README.md").read_text()
    assert 'myxtts speak --preset hf://me/voice "Hello world"' in card
    assert "consent" in card


def test_a_card_is_kept_and_has_one_header(preset, monkeypatch, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    (preset / "README.md").write_text("# Anna\n\nA calm voice.\n")
    try:
        words = ("--licence", "CPML, non-commercial")
        assert call(monkeypatch, "--preset", preset, "--output", first, *words) == 0
    finally:
        (preset / "README.md").unlink()
    assert call(monkeypatch, "--preset", first, "--output", second) == 0
    card = (second / "README.md").read_text()
    assert card.count("license: ") == card.count("# Anna") == card.count("## Use") == 1
    assert header(first)["license_name"] == "CPML, non-commercial"
    # Again into the same folder, which push itself has made.
    assert call(monkeypatch, "--preset", preset, "--output", second) == 0


def test_an_archive_has_an_address(preset, monkeypatch, tmp_path, capsys):
    output = tmp_path / "voice.tar.gz"
    assert call(monkeypatch, "--preset", preset, "--output", output, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert is_address(told["address"])
    assert told["address"].endswith(f"voice.tar.gz#sha256={told['sha256']}")
    assert [path.name for path in tmp_path.iterdir()] == ["voice.tar.gz"]


def test_uploading_is_the_hubs_own_work(preset, monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.HfApi.create_repo", lambda self, name, **_: asked.append(name)
    )
    monkeypatch.setattr(
        "huggingface_hub.HfApi.upload_folder",
        lambda self, repo_id, folder_path: asked.append((repo_id, Path(folder_path).name)),
    )
    words = ("--preset", preset, "--repository", "me/voice", "--upload")
    assert call(monkeypatch, *words, "--output", tmp_path / "hub") == 0
    assert asked == ["me/voice", ("me/voice", "hub")]
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *_, **__: 1 / 0)
    assert call(monkeypatch, *words, "--output", tmp_path / "hub") == 1
    assert "hub did not take me/voice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (["--output", "{preset}"], "is the preset itself", 2),
        (["--output", "{full}"], "holds files and was not made by", 1),
        (["--output", "x", "--upload"], "--upload wants --repository", 2),
        (["--output", "x", "--repository", "voice"], "owner/name is expected", 2),
        (["--output", "x.tar.gz", "--repository", "a/b", "--upload"], "sends a folder", 2),
    ],
)
def test_mistakes_are_one_sentence(preset, monkeypatch, tmp_path, capsys, words, message, status):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    words = [word.format(preset=preset, full=tmp_path / "full") for word in words]
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--preset", preset, *words) == status
    assert message in capsys.readouterr().err
    assert (tmp_path / "full" / "thesis.txt").is_file()
