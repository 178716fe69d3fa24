"""Presets of the hub and of the web: cached, offline, compared with their hash, plain data only."""

import functools
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from myxtts.errors import CheckpointError
from myxtts.presets import hub
from myxtts.presets.finding import find_preset

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "manifest.json": json.dumps({"sha256": {"xtts.safetensors": "0"}, "files": {"a.json": "0"}}),
    "xtts.safetensors": "weights",
    "a.json": "{}",
    "voices/voices.json": "[]",
}


def write_preset(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and a hub that is not reached."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "own"))

    def unreachable(*given, **named):
        raise OSError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    return tmp_path / "hub"


def cached(cache: Path, revision: str = "main") -> Path:
    """A preset in the hub's cache, as its client keeps it."""
    room = cache / "models--me--voice"
    (room / "refs").mkdir(parents=True)
    (room / "refs" / revision).write_text(COMMIT)
    return write_preset(room / "snapshots" / COMMIT)


def test_a_cached_preset_is_taken_without_a_network(cache):
    folder = cached(cache)
    for name in (
        "hf://me/voice",
        "hf://me/voice/",
        f"hf://me/voice@{COMMIT}",
        "hf://me/voice@main",
    ):
        assert find_preset(name) == folder
    assert hub.located("hf://me/voice") == folder
    assert hub.located("some/folder") == Path("some/folder")


@pytest.mark.parametrize("lacking", ["manifest.json", "xtts.safetensors", "a.json"])
def test_half_a_preset_in_the_cache_is_none(cache, lacking):
    (cached(cache) / lacking).unlink()
    with pytest.raises(CheckpointError, match="no preset hf://me/voice"):
        find_preset("hf://me/voice")


def test_offline_one_sentence_says_what_was_looked_for_and_where(cache):
    told = rf"no preset hf://me/voice@v2: it is not in {cache}.*Name or service.*hf download me/v"
    with pytest.raises(CheckpointError, match=told):
        find_preset("hf://me/voice@v2")


@pytest.mark.parametrize("name", ["hf://", "hf://voice", "hf://a/b/c", "hf://../x", "hf://a/b@"])
def test_what_is_no_repository_is_refused(cache, name):
    with pytest.raises(CheckpointError, match="is no repository: hf://owner/name"):
        find_preset(name)


@pytest.fixture
def web(tmp_path):
    """A folder that a server on this machine gives out, and its address."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given):
        pass


def put(folder: Path, members: dict[str, bytes], **links: str) -> str:
    """Write ``preset.tar.gz`` to ``folder``; its hash."""
    with tarfile.open(folder / "preset.tar.gz", "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return hashlib.sha256((folder / "preset.tar.gz").read_bytes()).hexdigest()


def test_an_archive_is_fetched_once(cache, web, tmp_path):
    folder, url = web
    digest = hub.archive_preset(write_preset(tmp_path / "preset"), folder / "preset.tar.gz")
    again = hub.archive_preset(tmp_path / "preset", tmp_path / "again.tar.gz")
    assert again == digest
    found = find_preset(f"{url}/preset.tar.gz#sha256={digest}")
    assert {str(p.relative_to(found)) for p in found.rglob("*") if p.is_file()} == set(FILES)
    (folder / "preset.tar.gz").unlink()
    assert find_preset(f"{url}/preset.tar.gz#sha256={digest.upper()}") == found


def test_only_a_presets_own_files_are_unpacked(cache, web, tmp_path):
    folder, url = web
    members = {f"run/preset/{name}": text.encode() for name, text in FILES.items()}
    members |= dict.fromkeys(
        ("run/preset/../../evil.json", "/evil.json", "run/preset/x.py", "run/preset/b/c.json"), b"!"
    )
    digest = put(folder, members, **{"run/preset/link.json": "/etc/passwd"})
    found = find_preset(f"{url}/preset.tar.gz#sha256={digest}")
    assert {str(p.relative_to(found)) for p in found.rglob("*") if p.is_file()} == set(FILES)
    assert not list(tmp_path.rglob("evil.json"))


def test_what_is_wrong_with_an_archive_is_one_sentence(cache, web, tmp_path):
    folder, url = web
    (folder / "preset.tar.gz").write_bytes(b"no archive")
    digest = hashlib.sha256(b"no archive").hexdigest()
    address = f"{url}/preset.tar.gz"
    for name, told in {
        address: "has no hash",
        f"{address}#sha256=12": "has no hash",
        f"{address}#sha256={'0' * 64}": "is not what its hash says",
        f"{address}#sha256={digest}": "is no tar archive",
        f"{url}/other.tar.gz#sha256={digest}": "did not give it .HTTP Error 404",
    }.items():
        with pytest.raises(CheckpointError, match=told):
            find_preset(name)
    digest = put(folder, {"readme.json": b"{}"})
    with pytest.raises(CheckpointError, match=r"has no manifest.json"):
        find_preset(f"{address}#sha256={digest}")
    assert not list((tmp_path / "own").rglob("manifest.json"))


class Hub(http.server.BaseHTTPRequestHandler):
    """What the hub's client asks for: the list of a repository's files, and each of them."""

    asked: list = []
    files = FILES | {"train.py": "print()", "README.md": "# Card"}

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/me/voice"):
            found = [{"rfilename": name, "size": len(text)} for name, text in self.files.items()]
            told = {"id": "me/voice", "modelId": "me/voice", "sha": COMMIT, "siblings": found}
            content = json.dumps(told).encode()
        else:
            name = path.partition("/resolve/")[2].partition("/")[2]
            content = self.files.get(name, "").encode()
            self.asked += [name] if body else []
        self.send_response(200 if content else 404)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if body else b"")

    def log_message(self, *given):
        pass


def test_the_hubs_client_fetches_a_preset_and_no_more(tmp_path):
    """In a process of its own, since the client reads its environment once."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = "from myxtts.presets.finding import find_preset\nprint(find_preset('hf://me/voice'))"
    own = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}", "HF_HOME": str(tmp_path)}
    own |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "HF_HUB_DISABLE_XET": "1"}

    def call() -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | own)

    try:
        first = call()
    finally:
        server.shutdown()
        server.server_close()
    assert first.returncode == 0, first.stderr
    found = Path(first.stdout.strip())
    names = {str(p.relative_to(found)) for p in found.rglob("*") if p.is_file()}
    assert names == {*FILES, "README.md"}
    assert Hub.asked[-1] == "manifest.json"
    assert call().stdout == first.stdout
