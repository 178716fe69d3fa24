"""A gateway that is killed in mid-stream and mid-upload: does it start again, its voices whole?"""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import threading
import time
from pathlib import Path

import httpx
import soundfile
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tqdm import tqdm

from benchmarks.server_process import Gateway
from myxtts.audio.io import hum

RATE = 16_000
TEXT = "The tide comes in at four, and nobody waits for it. " * 4
# Voices that no client of these ever deletes, and whose speech is compared.
KEPT = "kept"
# A process lives so long after the first speech came, or the first voice was made, at most.
LONGEST_S = 3.0
PATIENCE_S = 1800.0
UPLOADERS = 2
FILES = {"voice.json", "voice.safetensors"}


class Clients:
    """Streams, uploads and deletions until the server goes, and what it promised meanwhile.

    Args:
        gateway: that will be killed.
        number: of the kill; names and moments come of it.
        seed: of the run.

    Attributes:
        added: names that were answered with 201 and not asked to be deleted.
        removed: names whose deletion was answered with 200.
        streamed: bytes of speech that came before the end.
    """

    def __init__(self, gateway: Gateway, number: int, seed: int):
        self._gateway, self._number, self._seed = gateway, number, seed
        self.added: set[str] = set()
        self.removed: set[str] = set()
        self.streamed = 0
        self._streams, self._uploads = threading.Event(), threading.Event()

    def run(self) -> None:
        """Let all go on, kill the server at a random moment, and wait for the clients."""
        works = [self._stream, *[lambda n=n: self._upload(n) for n in range(UPLOADERS)]]
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        (self._uploads if self._number % 2 else self._streams).wait(PATIENCE_S)
        time.sleep(random.Random(f"{self._seed} {self._number}").uniform(0.0, LONGEST_S))
        self._gateway.kill()
        for thread in threads:
            thread.join()

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._gateway.address, timeout=PATIENCE_S)

    def _stream(self) -> None:
        body = {"input": TEXT, "response_format": "pcm", "stream_format": "audio"}
        with contextlib.suppress(httpx.TransportError), self._client() as client:
            while True:
                with client.stream("POST", "/v1/audio/speech", json=body) as answer:
                    for part in answer.iter_raw():
                        self.streamed += len(part)
                        self._streams.set()

    def _upload(self, uploader: int) -> None:
        rng = random.Random(f"{self._seed} {self._number} {uploader}")
        with contextlib.suppress(httpx.TransportError), self._client() as client:
            for count in range(10_000):
                name = f"v{self._number}-{uploader}-{count}"
                if upload(client, name, rng).status_code == 201:
                    self.added.add(name)
                    self._uploads.set()
                if self.added and rng.random() < 0.4:
                    self._remove(client, rng)

    def _remove(self, client: httpx.Client, rng: random.Random) -> None:
        own = sorted(self.added)
        name = rng.choice(own)
        # Where no answer comes, both are right.
        self.added.discard(name)
        if client.delete(f"/v1/voices/{name}").is_success:
            self.removed.add(name)


def upload(client: httpx.Client, name: str, rng: random.Random) -> httpx.Response:
    """Send a hum as a new voice."""
    file = io.BytesIO()
    soundfile.write(file, hum(1.0, rng.uniform(90, 220), RATE), RATE, format="WAV")
    fields = {"name": name, "consent": "true"}
    return client.post("/v1/voices", data=fields, files={"audio": ("a.wav", file.getvalue())})


def kill(gateway: Gateway, kills: int, seed: int) -> dict:
    """Kill it so often; what was found each time it had started again."""
    with httpx.Client(base_url=gateway.address, timeout=PATIENCE_S) as client:
        upload(client, KEPT, random.Random(seed)).raise_for_status()
    expected, faults, starts, streamed, promised = _speech(gateway), [], [], 0, 0
    for number in tqdm(range(kills), "kills", disable=None):
        clients = Clients(gateway, number, seed)
        clients.run()
        starts.append(gateway.start())
        faults += [f"kill {number}: {told}" for told in _faults(gateway, clients, expected)]
        streamed += clients.streamed > 0
        promised += len(clients.added) + len(clients.removed)
        _clear(gateway)
    is_whole, code = _ended(gateway)
    return {
        "kills": kills,
        "in_mid_stream": streamed,
        "promises_kept": promised,
        "faults": faults,
        "start_s": round(max(starts, default=0.0), 1),
        "speech_whole_after_sigterm": is_whole,
        "exit_code_of_sigterm": code,
    }


def _ended(gateway: Gateway) -> tuple[bool, int | None]:
    """End it by SIGTERM in mid-stream: whether the stream came to its end, and the exit code."""
    body = {"input": TEXT, "seed": 3, "response_format": "pcm", "stream_format": "audio"}
    code: list[int | None] = []
    ending = threading.Thread(target=lambda: code.append(gateway.end()))
    with httpx.Client(base_url=gateway.address, timeout=PATIENCE_S) as client:
        alone = client.post("/v1/audio/speech", json=body).raise_for_status().content
        with client.stream("POST", "/v1/audio/speech", json=body) as answer:
            parts = answer.iter_raw()
            heard = next(parts)
            ending.start()
            # One that breaks off is not whole, which is a figure, too.
            with contextlib.suppress(httpx.TransportError):
                for part in parts:
                    heard += part
    ending.join()
    return heard == alone, code[0]


def _faults(gateway: Gateway, clients: Clients, expected: str) -> list[str]:
    found = []
    with httpx.Client(base_url=gateway.address, timeout=PATIENCE_S) as client:
        told = {v["id"] for v in client.get("/v1/voices").json()["data"] if not v["own"]}
    found += [f"{name} was lost" for name in sorted(clients.added - told)]
    found += [f"{name} came back" for name in sorted(clients.removed & told)]
    found += _damages(gateway.voices, told)
    if _speech(gateway) != expected:
        found.append("the kept voice speaks otherwise")
    return found


def _damages(voices: Path, told: set[str]) -> list[str]:
    """Folders that are no whole voice, and what is left of a killed writer."""
    found = []
    for folder in voices.glob("*/*"):
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if names != FILES or folder.name not in told:
            found.append(f"{folder.name} holds {sorted(names)}")
            continue
        try:
            load_file(folder / "voice.safetensors")
        except (OSError, SafetensorError) as error:
            found.append(f"{folder.name}: {error}")
    return found


def _speech(gateway: Gateway) -> str:
    body = {"input": "Who is there?", "voice": KEPT, "seed": 5, "response_format": "pcm"}
    answer = httpx.post(f"{gateway.address}/v1/audio/speech", json=body, timeout=PATIENCE_S)
    return hashlib.sha256(answer.raise_for_status().content).hexdigest()


def _clear(gateway: Gateway) -> None:
    with httpx.Client(base_url=gateway.address, timeout=PATIENCE_S) as client:
        for voice in client.get("/v1/voices").json()["data"]:
            if not voice["own"] and voice["id"] != KEPT:
                client.delete(f"/v1/voices/{voice['id']}")
