"""Uploads, voices of owners, and what is no recording."""

import io
import os
import struct
import threading
import time
import zipfile

import httpx
import numpy as np
import pytest
import soundfile

from myxtts.server import uploads
from myxtts.server.keys import Keys, read_keys
from myxtts.server.voices import FILE, VoiceStore
from tests.server.stand_in import HummingEngine, served, settings

KEY, OTHER = "a key that opens it", "another key of theirs"


def recording(seconds: float = 1.0) -> bytes:
    content = io.BytesIO()
    tone = 0.3 * np.sin(np.arange(int(16_000 * seconds)) * 0.05)
    soundfile.write(content, tone, 16_000, format="WAV")
    return content.getvalue()


def upload(client, content: bytes, name: str = "anna", file: str = "anna.wav", **fields):
    fields = {"name": name, "consent": "true"} | fields
    return client.post("/v1/voices", data=fields, files={"audio": (file, content)})


@pytest.fixture
def gateway(tmp_path):
    given = settings(tmp_path, max_voices=3, max_upload_seconds=5.0, max_upload_bytes=2**20)
    with (
        served(HummingEngine(), given) as (address, _),
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield client, tmp_path


def files(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_voice_is_made_named_spoken_with_and_forgotten(gateway):
    client, folder = gateway
    answer = upload(client, recording(), about="Anna's own")
    assert answer.status_code == 201, answer.text
    assert answer.json()["id"] == "anna" and answer.json()["about"] == "Anna's own"
    assert [voice["id"] for voice in client.get("/v1/voices").json()["data"]] == ["hana", "anna"]
    assert client.get("/v1/voices/anna").json()["own"] is False
    body = {"input": "Hello.", "voice": "anna:0.5+hana:0.5", "response_format": "pcm"}
    assert client.post("/v1/audio/speech", json=body).status_code == 200
    assert files(folder) == {"voices/anybody/anna/voice.json", f"voices/anybody/anna/{FILE}"}
    assert upload(client, recording()).status_code == 409
    assert client.delete("/v1/voices/anna").json()["deleted"]
    assert client.get("/v1/voices/anna").status_code == 404
    assert client.delete("/v1/voices/hana").status_code == 403
    assert files(folder) == set()


def test_no_voice_without_consent(gateway):
    answer = upload(gateway[0], recording(), consent="no")
    assert answer.status_code == 400 and "agrees" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "/etc/x", "", ".x", "A", "x" * 65, "a\0b", "default"]
)
def test_names_that_are_none(gateway, name):
    client, folder = gateway
    assert upload(client, recording(), name=name).status_code == 400
    assert files(folder) == set()


def test_the_files_own_name_goes_nowhere(gateway):
    client, folder = gateway
    assert upload(client, recording(), file="../../../evil.wav").status_code == 201
    assert files(folder) == {"voices/anybody/anna/voice.json", f"voices/anybody/anna/{FILE}"}


def test_a_key_has_so_many_voices(gateway):
    client, _ = gateway
    statuses = [upload(client, recording(0.5), name=f"v{n}").status_code for n in range(4)]
    assert statuses == [201, 201, 201, 403]


def bomb() -> bytes:
    """A kilobyte that claims ten hours."""
    size = 36_000 * 16_000 * 2
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    return head + b"data" + struct.pack("<I", size) + bytes(900)


def claiming_bomb() -> bytes:
    """A kilobyte whose header, that no size contradicts, claims 12 hours."""
    content = io.BytesIO()
    soundfile.write(content, np.zeros(4_000), 16_000, format="FLAC")
    found = bytearray(content.getvalue())
    # Samples in all: the last 36 of the 64 bits behind the sizes of blocks and frames.
    found[22:26] = (12 * 3600 * 16_000).to_bytes(4, "big")
    return bytes(found)


def packed_bomb() -> bytes:
    """A small file of long silence."""
    content = io.BytesIO()
    soundfile.write(content, np.zeros(8_000 * 300), 8_000, format="FLAC")
    return content.getvalue()


def polyglot() -> bytes:
    """An archive behind the header of a recording."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("../evil", "x" * 1000)
    return recording()[:20] + content.getvalue()


UNFIT = {
    "empty": b"",
    "zeros": bytes(1000),
    "bomb": bomb(),
    "claiming": claiming_bomb(),
    "packed": packed_bomb(),
    "polyglot": polyglot(),
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "page": b"<svg/>",
    "header": recording()[:44],
    "short": recording(0.1),
}


@pytest.mark.parametrize(
    "content",
    UNFIT.values(),
    ids=UNFIT.keys(),
)
def test_what_is_no_recording_is_refused_in_a_sentence(gateway, content):
    client, folder = gateway
    answer = upload(client, content)
    assert answer.status_code == 400, answer.text
    message = answer.json()["error"]["message"]
    assert message.endswith(".") and "Traceback" not in message and "/tmp" not in message
    assert files(folder) == set()


def test_a_large_upload_is_not_even_read(gateway):
    client, folder = gateway
    assert upload(client, bytes(2**21)).status_code == 413

    def endless():
        for _ in range(64):
            yield bytes(2**16)

    kind = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/voices", content=endless(), headers=kind)
    assert answer.status_code in (400, 413)
    assert files(folder) == set()


def test_keys_and_owners(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"# of tests\n{KEY}\n{OTHER}\n")
    with served(HummingEngine(), settings(tmp_path), read_keys(path)) as (address, _):
        mine = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {KEY}"})
        theirs = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {OTHER}"})
        assert upload(mine, recording()).status_code == 201
        assert mine.get("/v1/voices/anna").status_code == 200
        assert theirs.get("/v1/voices/anna").status_code == 404
        assert theirs.delete("/v1/voices/anna").status_code == 404
        body = {"input": "Hello.", "voice": "anna"}
        assert theirs.post("/v1/audio/speech", json=body).status_code == 400


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", KEY, "Bearer é"]
)
def test_a_wrong_key_opens_nothing_and_is_logged_nowhere(tmp_path, caplog, header):
    path = tmp_path / "keys"
    path.write_text(KEY)
    caplog.set_level("DEBUG", "myxtts")
    with served(HummingEngine(), settings(tmp_path), read_keys(path)) as (address, _):
        given = {} if header is None else {"Authorization": header.encode()}
        for place in ("/v1/models", "/v1/voices", "/metrics", "/openapi.json", "/nothing"):
            answer = httpx.get(address + place, headers=given)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"
        assert httpx.get(f"{address}/health").status_code == 200
        good = {"Authorization": f"Bearer {KEY}"}
        assert httpx.get(f"{address}/v1/models", headers=good).status_code == 200
    assert KEY not in caplog.text and "wrong" not in caplog.text


def test_no_keys_are_anybodys():
    assert Keys().owner(None) == "anybody" and not Keys()


def test_a_killed_writers_half_is_swept_away(tmp_path):
    room = tmp_path / "voices" / "anybody"
    (room / ".anna.1f-0123abcd.new").mkdir(parents=True)
    (room / ".otto.1f-0123abcd.gone").mkdir()
    (room / ".otto.1f-0123abcd.gone" / FILE).write_bytes(b"x")
    store = VoiceStore(HummingEngine(), settings(tmp_path))
    assert [fact.id for fact in store.facts("anybody")] == ["hana"]
    assert list(room.iterdir()) == []


def test_recordings_of_a_killed_gateway_are_swept_away_later(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    other = tmp_path / "other"
    for folder in (other, tmp_path / "myxtts-upload-old", tmp_path / "myxtts-upload-new"):
        folder.mkdir()
        (folder / "upload").write_bytes(b"x")
    (tmp_path / "myxtts-upload-link").symlink_to(other)
    hours_ago = time.time() - 3 * 3600
    for name in ("other", "myxtts-upload-old", "myxtts-upload-link"):
        os.utime(tmp_path / name, (hours_ago, hours_ago), follow_symlinks=False)
    uploads.sweep()
    assert not (tmp_path / "myxtts-upload-old").exists()
    assert (tmp_path / "myxtts-upload-new" / "upload").is_file() and (other / "upload").is_file()


def test_two_uploads_of_one_name(gateway):
    client, _ = gateway
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(upload(client, recording()).status_code))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [201, 409]
