"""Requests that no program would send, made from the gateway's own description of its calls."""

from __future__ import annotations

import io
import json
import random
import urllib.parse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import soundfile
from tqdm import tqdm

from benchmarks.server_process import Gateway
from myxtts.audio.io import hum

RATE = 16_000
# At once, as several programs would.
CLIENTS = 4
# Seconds that an answer may take, on a machine that does other things, too.
PATIENCE_S = 1800.0
ODD = [
    None, True, False, -1, 0, 1, 2.5, 1e308, 2**70, -(2**63), "", " ", "x", "\0", "\ud800",
    "é" * 300, "../../etc/passwd", "hana:1e999", "a+" * 50, "a:-1+b", "%00", "<script>", [], {},
    [[]], {"id": {}}, float("nan"), float("inf"), "x" * 9000, "Hi.", "default", "en", "wav", "sse",
]  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "ODD")
NAMES = ("a", "../x", "a/b", "", ".x", "A", "x" * 65, "a\0b", "default", "hana", "-", "con")
FILES = ("a.wav", "../../a.wav", "/etc/passwd", "a\0.wav", "x" * 500, "é.flac", "")
JSON_KIND = {"content-type": "application/json"}


def mutate(gateway: Gateway, requests: int, seed: int) -> dict:
    """Send so many, and count what is answered."""
    with httpx.Client(base_url=gateway.address, timeout=PATIENCE_S) as client:
        described = client.get("/openapi.json").json()
        calls = [
            (method, path, call)
            for path, methods in described["paths"].items()
            for method, call in methods.items()
        ]

        def send(number: int) -> tuple[str, str]:
            rng = random.Random(f"{seed} {number}")
            return _outcome(client, *_request(rng, calls, described))

        with ThreadPoolExecutor(CLIENTS) as threads:
            found = list(
                tqdm(threads.map(send, range(requests)), "mutated", requests, disable=None)
            )
        _forget(client)
    return {
        "requests": requests,
        "outcomes": dict(sorted(Counter(outcome for outcome, _ in found).items())),
        "faults": [told for _, told in found if told][:20],
        "tracebacks": gateway.tracebacks(),
        "healthy": gateway.is_ready(),
    }


def _outcome(client: httpx.Client, method: str, path: str, given: dict) -> tuple[str, str]:
    """Status of an answer, and what is wrong with it."""
    try:
        with client.stream(method, path, **given) as answer:
            status = answer.status_code
            content = b"" if status == 200 else answer.read()
    except (httpx.InvalidURL, httpx.LocalProtocolError):
        return "not sent", ""
    except httpx.TransportError as error:
        return "broken", f"{method} {path[:80]}: {type(error).__name__}"
    wrong = status >= 500 and status != 503
    wrong = wrong or b"Traceback" in content or b"site-packages" in content
    if status >= 400 and method != "HEAD" and not wrong:
        wrong = not _is_told(content)
    return str(status), f"{method} {path[:80]}: {status} {content[:200]!r}" if wrong else ""


def _is_told(content: bytes) -> bool:
    try:
        return bool(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return False


def _request(rng: random.Random, calls: list, described: dict) -> tuple[str, str, dict]:
    method, path, call = rng.choice(calls)
    if path == "/v1/voices" and method == "post" or rng.random() < 0.2:
        return "POST", "/v1/voices", _upload(rng)
    path = _filled(rng, path, call)
    if rng.random() < 0.1:
        method = rng.choice(METHODS)
    given: dict = {}
    if "requestBody" in call:
        given = {"content": _body(rng, _fields(call, described)), "headers": dict(JSON_KIND)}
        if rng.random() < 0.05:
            kind = rng.choice(["text/plain", "multipart/form-data", "application/json; x=\u00e9"])
            given["headers"] = {"content-type": kind.encode()}
    return method.upper(), path, given


def _filled(rng: random.Random, path: str, call: dict) -> str:
    """A path with odd values for its places, and an odd query."""
    query = []
    for place in call.get("parameters", []):
        value = urllib.parse.quote(_text(rng.choice(ODD)), safe=rng.choice(["", "/%"]))
        if place["in"] == "path":
            path = path.replace(f"{{{place['name']}}}", value)
        elif rng.random() < 0.8:
            query.append(f"{place['name']}={value if rng.random() < 0.7 else 'Hi.'}")
    return path + ("?" + "&".join(query) if query else "")


def _text(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()[:3000]


def _fields(call: dict, described: dict) -> list[str]:
    schema = next(iter(call["requestBody"]["content"].values()))["schema"]
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return list(schema.get("properties", {})) or ["x"]


def _body(rng: random.Random, fields: list[str]) -> bytes:
    body: dict = {"input": "Hi.", "text": "Hi.", "response_format": "pcm"}
    for _ in range(rng.randint(1, 4)):
        body[rng.choice([*fields, "other"])] = rng.choice(ODD)
    content = bytearray(json.dumps(body).encode())
    if rng.random() < 0.3:
        _damage(rng, content)
    return bytes(content)


def _damage(rng: random.Random, content: bytearray) -> None:
    for _ in range(rng.randint(1, 6)):
        if content:
            content[rng.randrange(len(content))] = rng.randrange(256)
    if rng.random() < 0.3 and content:
        del content[rng.randrange(len(content)) :]


def _upload(rng: random.Random) -> dict:
    """A form whose fields, file or frame is odd."""
    content = bytearray(_recording(rng))
    if rng.random() < 0.8:
        _damage(rng, content)
    fields = {"name": rng.choice([*NAMES, f"m{rng.randrange(20)}"]), "consent": "true"}
    if rng.random() < 0.2:
        fields[rng.choice(["consent", "about", "other"])] = _text(rng.choice(ODD))
    form = httpx.Request(
        "POST",
        "http://x",
        data=fields,
        files={
            rng.choice(["audio", "file", "audio_sample", "x"]): (rng.choice(FILES), bytes(content))
        },
    )
    whole = bytearray(form.read())
    if rng.random() < 0.3:
        _damage(rng, whole)
    return {"content": bytes(whole), "headers": {"content-type": form.headers["content-type"]}}


def _recording(rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return rng.choice([b"", bytes(1000), rng.randbytes(3000), b"#EXTM3U\nfile:///etc/passwd\n"])
    file, seconds = io.BytesIO(), rng.choice([0.0, 0.1, 0.5, 1.0])
    kind = rng.choice(["WAV", "FLAC", "OGG", "MP3"]) if seconds else "WAV"
    tone = hum(seconds, 120, RATE) if seconds else np.zeros(0, "float32")
    soundfile.write(file, tone, RATE, format=kind)
    return file.getvalue()


def _forget(client: httpx.Client) -> None:
    """Delete what was added by accident."""
    for voice in client.get("/v1/voices").json()["data"]:
        if not voice["own"]:
            client.delete(f"/v1/voices/{voice['id']}")
