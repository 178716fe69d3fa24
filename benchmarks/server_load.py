"""Many clients at once: statuses, times, memory, and whether every answer is that of one alone."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import numpy as np
from tqdm import tqdm

from benchmarks.server_kills import upload
from benchmarks.server_process import Gateway

URL = "/v1/audio/speech"
TEXTS = (
    "Good morning.",
    "The tide comes in at four.",
    "She read the letter twice and put it away.",
    "No one spoke.",
)
SEEDS = (1, 2)
# Characters of texts whose lengths no request before had.
LENGTHS = (5, 20, 45, 90, 150, 240, 600)
# Seconds that an answer may take, on a machine that does other things, too.
PATIENCE_S = 1800.0
# What a refused client waits at most.
LONGEST_PAUSE_S = 5.0
STEP_S = 1.0
# What somebody waits for a whole file before going away.
LEAVES_AFTER_S = 0.5
WHOLE, STREAM, LEAVES = "whole", "stream", "leaves"


@dataclass
class Counts:
    """What all clients saw.

    Attributes:
        statuses: of all answers; ``broken`` where none came.
        seconds: of each whole answer.
        first: seconds to the first audio of each stream.
        other: answers that are not those of one alone.
        memory: megabytes of the gateway, once a second.
    """

    statuses: Counter = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    other: int = 0
    memory: list[float] = field(default_factory=list)


def bodies(voices: list[str]) -> list[dict]:
    """Requests whose answers are known: every text in some voices by some seeds."""
    return [
        {"input": text, "voice": voice, "seed": seed, "response_format": "pcm"} | way
        for text in TEXTS
        for voice, seed in zip(voices, SEEDS, strict=False)
        for way in ({}, {"stream_format": "audio"})
    ]


def load(gateway: Gateway, clients: int, minutes: float, seed: int) -> dict:
    """Speak alone, then with many clients for so many minutes; figures for a table."""
    cold = first_audio_of_lengths(gateway)
    asked = _asked(gateway)
    alone = [_digest(_alone(gateway, body)) for body in tqdm(asked, "alone", disable=None)]
    first = first_audio(gateway)
    counts = asyncio.run(_storm(gateway, list(zip(asked, alone, strict=True)), clients, minutes))
    again = [_digest(_alone(gateway, body)) for body in asked]
    return {
        "clients": clients,
        "minutes": minutes,
        "statuses": {str(name): count for name, count in sorted(counts.statuses.items())},
        "other_answers": counts.other + sum(a != b for a, b in zip(alone, again, strict=True)),
        "seconds": _percentiles(counts.seconds),
        "first_audio_under_load_s": _percentiles(counts.first),
        "first_audio_alone_s": first,
        "first_audio_by_characters_s": cold,
        "freed_after_s": freed(gateway),
        "freed_after_a_whole_file_s": freed(gateway, whole=True),
        "memory_mb": _memory(counts.memory),
        "tracebacks": gateway.tracebacks(),
        "healthy": gateway.is_ready(),
    }


def first_audio(gateway: Gateway, times: int = 10) -> dict:
    """Percentiles of the seconds to the first audio of a stream that nothing disturbs."""
    with _client(gateway) as client:
        return _percentiles([_first(client, _streamed(TEXTS[2])) for _ in range(times)])


def first_audio_of_lengths(gateway: Gateway) -> dict:
    """Seconds to the first audio of the first text of each length, by its characters."""
    text = "The boats came home before the rain, and nobody spoke of it. " * 20
    with _client(gateway) as client:
        return {
            str(length): round(_first(client, _streamed(text[:length])), 3) for length in LENGTHS
        }


def _first(client: httpx.Client, body: dict) -> float:
    begun = time.perf_counter()
    with client.stream("POST", URL, json=body) as answer:
        next(answer.iter_raw())
        found = time.perf_counter() - begun
    _idle(client)
    return found


def freed(gateway: Gateway, times: int = 10, whole: bool = False) -> dict:
    """Percentiles of the seconds until the place of a client that went away is free."""
    body = _streamed(TEXTS[2] * 20) | ({"stream_format": None} if whole else {})
    with _client(gateway) as client:
        return _percentiles([_left(client, body) for _ in range(times)])


def _left(client: httpx.Client, body: dict) -> float:
    """Seconds that a place is still taken after the client of a long speech has gone."""
    try:
        with client.stream("POST", URL, json=body, timeout=LEAVES_AFTER_S) as answer:
            next(answer.iter_raw())
    except httpx.ReadTimeout:
        pass
    return _idle(client)


def _streamed(text: str) -> dict:
    return {"input": text, "response_format": "pcm", "stream_format": "audio"}


def _idle(client: httpx.Client) -> float:
    """Wait until no text is being spoken; the seconds that took."""
    begun = time.perf_counter()
    while "myxtts_running 0.0" not in client.get("/metrics").text:
        time.sleep(0.01)
    return time.perf_counter() - begun


async def _storm(gateway: Gateway, known: list, clients: int, minutes: float) -> Counts:
    counts, end = Counts(), time.monotonic() + 60 * minutes
    limits = httpx.Limits(max_connections=clients + 8)
    async with httpx.AsyncClient(
        base_url=gateway.address, timeout=PATIENCE_S, limits=limits
    ) as client:
        watching = asyncio.create_task(_watch(gateway, counts, end))
        await asyncio.gather(
            *(_visit(client, known, counts, end, random.Random(n)) for n in range(clients))
        )
        await watching
    return counts


async def _watch(gateway: Gateway, counts: Counts, end: float) -> None:
    with tqdm(total=round(end - time.monotonic()), desc="load, s", disable=None) as bar:
        while time.monotonic() < end:
            counts.memory.append(gateway.resident_mb())
            await asyncio.sleep(STEP_S)
            bar.update(1)


async def _visit(client, known: list, counts: Counts, end: float, rng: random.Random) -> None:
    """One client: speech, streams, a stream that is left early, and a look at the voices."""
    while time.monotonic() < end:
        body, digest = rng.choice(known)
        way = STREAM if "stream_format" in body else WHOLE
        if way == STREAM and rng.random() < 0.2:
            way = LEAVES
        try:
            pause = await _call(client, body, digest, way, counts)
            if rng.random() < 0.1:
                counts.statuses[(await client.get("/v1/voices")).status_code] += 1
        except httpx.TransportError:
            counts.statuses["broken"] += 1
            pause = 1.0
        await asyncio.sleep(pause * rng.uniform(0.5, 1.0))


async def _call(client, body: dict, digest: str, way: str, counts: Counts) -> float:
    """Count one answer; how long to wait before the next."""
    begun, content = time.perf_counter(), b""
    async with client.stream("POST", URL, json=body) as answer:
        counts.statuses[answer.status_code] += 1
        if answer.status_code == 429:
            return min(LONGEST_PAUSE_S, float(answer.headers["retry-after"]))
        async for part in answer.aiter_raw():
            if not content and way != WHOLE:
                counts.first.append(time.perf_counter() - begun)
            content += part
            if way == LEAVES:
                return 0.0
    counts.seconds.append(time.perf_counter() - begun)
    if answer.status_code == 200 and _digest(content) != digest:
        counts.other += 1
    return 0.0


def _asked(gateway: Gateway) -> list[dict]:
    with _client(gateway) as client:
        upload(client, "loaded", random.Random(0)).raise_for_status()
        names = [voice["id"] for voice in client.get("/v1/voices").json()["data"]]
    return bodies([names[0], f"{names[0]}:0.5+{names[-1]}:0.5"])


def _client(gateway: Gateway) -> httpx.Client:
    return httpx.Client(base_url=gateway.address, timeout=PATIENCE_S)


def _alone(gateway: Gateway, body: dict) -> bytes:
    with _client(gateway) as client:
        return client.post(URL, json=body).raise_for_status().content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _percentiles(values: list[float]) -> dict:
    if not values:
        return {}
    found = np.percentile(values, [50, 95, 99])
    return {f"p{part}": round(float(v), 3) for part, v in zip((50, 95, 99), found, strict=True)}


def _memory(values: list[float]) -> dict:
    """Means of a third tenth and of the last: over ten minutes, of the third and last minute."""
    if len(values) < 10:
        return {}
    part = len(values) // 10
    early, late = np.mean(values[2 * part : 3 * part]), np.mean(values[-part:])
    told = {"third_tenth": early, "last_tenth": late, "ratio": late / early}
    return {name: round(float(value), 3) for name, value in told.items()}
