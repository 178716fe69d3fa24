"""Uploads that no honest program would send, and keys that nobody has: what is answered?"""

from __future__ import annotations

import io
import struct
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import soundfile
from tqdm import tqdm

from benchmarks.server_process import KEY, Gateway
from myxtts.audio.io import hum

RATE = 16_000
# A key that opens nothing.
WRONG = "another-one-that-opens-nothing"
LARGE_MB, PIECE = 200, bytes(2**20)
HOURS = 12
PATIENCE_S = 300.0
NAMES = ("../x", "../../etc/x", "/etc/x", "a/b", "a\\b", "..", ".x", "", "a\0b", "x" * 65)
FILES = ("../../../x.wav", "/etc/passwd", "a\\..\\x.wav", "x" * 1000, "")


def recording(seconds: float = 1.0, kind: str = "WAV") -> bytes:
    """A hum as a file."""
    content = io.BytesIO()
    soundfile.write(content, hum(seconds, 120, RATE), RATE, format=kind)
    return content.getvalue()


def _claiming_wav() -> bytes:
    """A kilobyte whose header claims hours."""
    size = HOURS * 3600 * RATE * 2 % 2**32
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return head + b"data" + struct.pack("<I", size) + bytes(900)


def _claiming_flac() -> bytes:
    """A few hundred bytes whose header claims hours, which no size contradicts."""
    content = io.BytesIO()
    soundfile.write(content, np.zeros(RATE // 4), RATE, format="FLAC")
    found = bytearray(content.getvalue())
    # Samples in all: the last 36 of the 64 bits behind the sizes of blocks and frames.
    found[22:26] = (HOURS * 3600 * RATE).to_bytes(4, "big")
    return bytes(found)


def _packed(kind: str, seconds: int) -> bytes:
    """Long silence in a small file."""
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", 8000, 1, format=kind) as file:
        for _ in range(seconds // 60):
            file.write(np.zeros(60 * 8000, "float32"))
    return content.getvalue()


def _polyglots() -> dict[str, bytes]:
    """Files of two kinds at once: the start of a recording, and something else."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../evil", "x" * 1000)
    page = b"<html><script>alert(1)</script></html>"
    return {
        "archive behind a header": recording()[:44] + archive.getvalue(),
        "archive in front": archive.getvalue() + recording(),
        "page in front": page + recording(),
        "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "concatenation": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "drawing": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
        "program": b"\x7fELF" + bytes(2000),
    }


def unfit() -> dict[str, bytes]:
    """Recordings that are none, or claim or hold too much, by what they are."""
    return {
        "nothing": b"",
        "zeros": bytes(1000),
        "wav that claims hours": _claiming_wav(),
        "flac that claims hours": _claiming_flac(),
        "an hour of flac": _packed("FLAC", 3600),
        "an hour of ogg": _packed("OGG", 3600),
        "a header alone": recording()[:44],
        "too short": recording(0.1),
        "silence": _packed("WAV", 60),
        **_polyglots(),
    }


def refuse(gateway: Gateway) -> dict:
    """Send them, and calls with wrong keys; what was not refused as it should be."""
    headers = {"Authorization": f"Bearer {KEY}"}
    before, faults, longest = _files(gateway), [], 0.0
    with httpx.Client(base_url=gateway.address, timeout=PATIENCE_S, headers=headers) as client:
        sent = list(_calls())
        for told, statuses, form in tqdm(sent, "uploads", disable=None):
            begun = time.perf_counter()
            faults += _faults(told, statuses, client.post("/v1/voices", **form))
            longest = max(longest, time.perf_counter() - begun)
        faults += _odd_files(client, gateway)
        memory = gateway.resident_mb()
        faults += _large(client)
        grown = gateway.resident_mb() - memory
    faults += _without_key(gateway)
    faults += [f"{path} was left" for path in sorted(_files(gateway) - before)]
    log = gateway.log.read_text(encoding="utf-8", errors="replace")
    return {
        "uploads": len(sent) + len(FILES) + 2,
        "faults": faults,
        "longest_answer_s": round(longest, 2),
        f"memory_by_{LARGE_MB}_mb_sent": f"{grown:+.1f} MB",
        "keys_in_the_log": log.count(KEY) + log.count(WRONG),
        "tracebacks": gateway.tracebacks(),
        "healthy": gateway.is_ready(),
    }


def _calls() -> Iterator[tuple[str, tuple[int, ...], dict]]:
    """What is sent, how it may be answered, and the form."""
    for told, content in unfit().items():
        yield told, (400,), form("refused", "a.wav", content)
    for name in NAMES:
        yield f"voice {name[:20]!r}", (400,), form(name, "a.wav", recording())


def form(name: str, file: str, content: bytes) -> dict:
    """Fields and file of an upload."""
    return {"data": {"name": name, "consent": "true"}, "files": {"audio": (file, content)}}


def _faults(told: str, statuses: tuple[int, ...], answer: httpx.Response) -> list[str]:
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = ""
    is_plain = message.endswith(".") and not any(
        word in message for word in ("Traceback", "site-packages", tempfile.gettempdir())
    )
    if answer.status_code in statuses and is_plain:
        return []
    return [f"{told}: {answer.status_code} {answer.text[:200]!r}"]


def _odd_files(client: httpx.Client, gateway: Gateway) -> list[str]:
    """A good recording under odd file names: taken or refused, and nothing lies elsewhere."""
    faults = []
    for number, file in enumerate(FILES):
        answer = client.post("/v1/voices", **form(f"odd{number}", file, recording()))
        if answer.status_code == 201:
            client.delete(f"/v1/voices/odd{number}").raise_for_status()
        else:
            faults += _faults(f"file {file[:20]!r}", (400,), answer)
    return faults


def _large(client: httpx.Client) -> list[str]:
    """200 MB, once with their length in the header, once without."""
    kind = {"content-type": "multipart/form-data; boundary=x"}
    sized = {"content-length": str(LARGE_MB * len(PIECE))}
    faults = []
    for told, more in {"large": sized, "large, unsaid": {}}.items():
        try:
            answer = client.post("/v1/voices", content=_pieces(), headers=kind | more)
        except httpx.TransportError as error:
            # A server that answers and closes while so much is still sent may not be heard.
            if not isinstance(error, httpx.WriteError):
                faults.append(f"{told}: {type(error).__name__}")
            continue
        faults += _faults(told, (400, 413), answer)
    return faults


def _pieces() -> Iterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'.ljust(
        len(PIECE), b"\0"
    )
    for _ in range(LARGE_MB - 1):
        yield PIECE


def _without_key(gateway: Gateway) -> list[str]:
    faults, speech = [], {"input": "Hi."}
    for header in (None, "Bearer", f"Bearer {WRONG}", f"Bearer {KEY}x", f"Basic {KEY}", KEY):
        headers = {"Authorization": header} if header else {}
        for path in ("/v1/models", "/v1/voices", "/metrics", f"/v1/models?key={WRONG}"):
            answer = httpx.get(gateway.address + path, headers=headers, timeout=PATIENCE_S)
            faults += _faults(f"{path}, {header}", (401,), answer)
        answer = httpx.post(f"{gateway.address}/v1/audio/speech", json=speech, headers=headers)
        faults += _faults(f"speech, {header}", (401,), answer)
    return faults


def _files(gateway: Gateway) -> set[str]:
    """All that a stray upload could be: among the gateway's own, or in the working folder."""
    rooms = [gateway.voices.parent.rglob("*"), Path.cwd().glob("*"), Path.cwd().parent.glob("*")]
    return {str(path) for room in rooms for path in room if path.is_file()}
