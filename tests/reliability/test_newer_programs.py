"""Programs for speakers, voices and serving: one bad file ends no work, and no word is raw."""

import errno
import json
import socket
from types import SimpleNamespace

import numpy as np
import pytest

from myxtts.errors import AudioError, CheckpointError, ConfigError, DataError
from myxtts.flags import run
from myxtts.programs.verify import embed_cohort
from myxtts.server.command import check_places
from myxtts.server.settings import ServerSettings
from myxtts.verification.threshold import Threshold
from myxtts.weights.torch_tensor import write_tensor
from tools.speaker_encoder.create_speaker_emb_dataset import made_before
from tools.voice_box.emphasis import _heard


class Hearer:
    """Embeds every recording but those called ``bad``."""

    def embed(self, paths):
        if bad := [path for path in paths if "bad" in str(path)]:
            raise AudioError(f"{bad[0]} is silent.")
        return np.ones((len(paths), 3), "float32")

    def condition(self, paths):
        return SimpleNamespace(speaker_embedding=self.embed(paths))


def recordings(*names):
    return [SimpleNamespace(path=name, speaker="a") for name in names]


def test_one_recording_ends_no_cohort(caplog):
    found, rows = embed_cohort(Hearer(), recordings("a.wav", "bad.wav", "c.wav"))
    assert [item.path for item in found] == ["a.wav", "c.wav"]
    assert rows.shape == (2, 3)
    assert "left out of the cohort: bad.wav is silent." in caplog.text
    with pytest.raises(DataError, match="no recording of the cohort"):
        embed_cohort(Hearer(), recordings("bad.wav"))


def test_a_speaker_is_heard_by_the_first_recording_that_can_be(caplog):
    assert _heard(Hearer(), ["bad.wav", "b.wav"]).shape == (1, 3)
    assert _heard(Hearer(), ["bad.wav"]) is None
    assert caplog.text.count("bad.wav is silent.") == 2


def cut(path):
    path.write_bytes(path.read_bytes()[:-70])


def garbage(path):
    path.write_bytes(bytes(99))


def pack(path):
    """Name a way of packing that Python does not know, in the archive's directory."""
    content = bytearray(path.read_bytes())
    for at in range(len(content) - 4):
        if content[at : at + 4] == b"PK\x01\x02":
            content[at + 10] = 99
    path.write_bytes(content)


UNUSABLE = {
    "packed": pack,
    "cut": cut,
    "garbage": garbage,
    "NaN": lambda path: write_tensor(path, np.full((1, 4), np.nan)),
    "another size": lambda path: write_tensor(path, np.ones((1, 5))),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_embedding_that_cannot_be_used_is_made_anew(tmp_path, caplog, name):
    path = tmp_path / "a.ecapa_embedding"
    assert made_before(path, 4) is None
    write_tensor(path, np.ones((1, 4)))
    np.testing.assert_array_equal(made_before(path, 4), np.ones((1, 4)))
    UNUSABLE[name](path)
    assert made_before(path, 4) is None
    assert "made anew" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), "high", None])
def test_a_threshold_is_a_number(tmp_path, value):
    good = Threshold(0.5, 5.0, 0.3, 100, "a set", "x@sha256:1")
    good.save(tmp_path / "t.json")
    values = json.loads((tmp_path / "t.json").read_text()) | {"value": value}
    del values["seal"]
    (tmp_path / "t.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="is no measured threshold"):
        Threshold.load(tmp_path / "t.json")


@pytest.mark.parametrize("spoil", [cut, garbage])
def test_what_was_heard_is_heard_again_where_its_file_is_damaged(tmp_path, caplog, spoil):
    pytest.importorskip("torch", reason="the programs for Kokoro need torch")
    from tools.styletts2_kokoro.map_corpus import hear

    asked = []
    clips = [("af/0", lambda: asked.append(1))]
    hearing = SimpleNamespace(embed=lambda audio: np.ones(3, "float32"))
    kept = tmp_path / "heard.npz"
    for _ in range(2):
        np.testing.assert_array_equal(hear(clips, hearing, kept)["af/0"], np.ones(3))
    assert len(asked) == 1
    spoil(kept)
    np.testing.assert_array_equal(hear(clips, hearing, kept)["af/0"], np.ones(3))
    assert len(asked) == 2
    assert "is damaged" in caplog.text


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EIO, "Input/output error"), "cannot be read now: Input/output error"),
        (OSError(errno.EINVAL, "Invalid argument"), "is damaged; start anew"),
        (IndexError("pop from empty list"), "is damaged; start anew"),
    ],
)
def test_a_disk_that_does_not_answer_is_no_damage(tmp_path, monkeypatch, error, told):
    pytest.importorskip("torch", reason="the programs for Kokoro need torch")
    from tools.kokoro import resuming

    def fail(path):
        raise error

    monkeypatch.setattr(resuming, "read_state", fail)
    with pytest.raises(CheckpointError, match=told):
        resuming.resume(tmp_path / "state.pt", {}, print)


def test_a_place_that_cannot_be_used_is_known_before_a_server_reads_its_model(tmp_path, caplog):
    (tmp_path / "file").touch()
    voices = str(tmp_path / "voices")
    check_places(ServerSettings(port=0, voices=voices))
    assert not (tmp_path / "voices").exists()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}: "):
            check_places(ServerSettings(port=port, voices=voices))
    with pytest.raises(ConfigError, match=r"cannot listen on no\.such\.host\.invalid:0: "):
        check_places(ServerSettings(host="no.such.host.invalid", port=0, voices=voices))
    with pytest.raises(ConfigError, match=r"file is a file; a folder is wanted"):
        check_places(ServerSettings(port=0, voices=str(tmp_path / "file")))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match=r"loop is a link that leads nowhere; a folder is wanted"):
        check_places(ServerSettings(port=0, voices=str(tmp_path / "loop")))
    check_places(ServerSettings(port=0, voices="/proc/none"))
    assert "no voice can be added: cannot write /proc/none/voice" in caplog.text


@pytest.mark.parametrize("content", ["[1]", "3", "{", "[" * 100_000])
def test_results_that_are_no_object_are_refused_when_a_model_is_packed(
    tmp_path, monkeypatch, capsys, content
):
    pytest.importorskip("hibari", reason="its voices are recorded by hibari-tts")
    from tools import pack_voice

    (tmp_path / "judged.json").write_text(content)
    words = ["--judged", tmp_path / "judged.json", "--output", tmp_path / "packed"]
    monkeypatch.setattr("sys.argv", ["pack_voice.py", *map(str, words)])
    assert run(pack_voice.main, pack_voice.parser()) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"pack_voice.py: error: {tmp_path / 'judged.json'} cannot be read: ")
    assert told.count("\n") == 1
    assert not (tmp_path / "packed").exists()
