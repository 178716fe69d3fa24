"""The measurements of the gateway, each in small, at a gateway that hums in this process."""

import importlib.util
import itertools
from pathlib import Path

import pytest

NEEDED = ("fastapi", "uvicorn", "multipart", "prometheus_client", "av", "httpx")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if MISSING:
    pytest.skip(f"{', '.join(MISSING)} is not installed", allow_module_level=True)

from benchmarks.server import table  # noqa: E402
from benchmarks.server_load import _memory, bodies, load  # noqa: E402
from benchmarks.server_mutations import mutate  # noqa: E402
from benchmarks.server_process import KEY  # noqa: E402
from benchmarks.server_uploads import refuse  # noqa: E402
from myxtts.server.keys import read_keys  # noqa: E402
from tests.server.stand_in import HummingEngine, served, settings  # noqa: E402


class Here:
    """What the measurements want of a gateway, of one in this process."""

    def __init__(self, address: str, folder: Path):
        self.address, self._memory = address, 100.0
        self.voices, self.log = folder / "voices", folder / "log.txt"
        self.log.touch()

    def is_ready(self) -> bool:
        return True

    def resident_mb(self) -> float:
        return self._memory

    def tracebacks(self) -> int:
        return 0


@pytest.fixture
def gateway(tmp_path):
    given = settings(tmp_path, max_decode_seconds=60.0, queue=2)
    with served(HummingEngine(pause=0.002), given) as (address, _):
        yield Here(address, tmp_path)


@pytest.mark.slow
def test_load_counts_answers_and_finds_them_equal(gateway):
    told = load(gateway, clients=6, minutes=0.03, seed=0)
    assert told["other_answers"] == 0 and told["healthy"]
    assert set(told["statuses"]) <= {"200", "429"}
    assert told["first_audio_alone_s"]["p50"] > 0 and told["freed_after_s"]["p99"] >= 0
    assert "| load | other answers | 0 |" in table({"load": told})


@pytest.mark.slow
def test_another_answer_is_counted(gateway, monkeypatch):
    """The same request is answered otherwise after the load than before it."""
    from benchmarks import server_load

    alone, calls = server_load._alone, itertools.count()
    monkeypatch.setattr(server_load, "_alone", lambda g, b: alone(g, b) + bytes(next(calls)))
    assert load(gateway, clients=1, minutes=0.0, seed=0)["other_answers"] == 16


@pytest.mark.slow
def test_mutated_requests_are_answered_in_sentences(gateway):
    told = mutate(gateway, 60, seed=0)
    assert told["faults"] == [] and sum(told["outcomes"].values()) == 60
    assert told["outcomes"]["400"] > 5


@pytest.mark.slow
def test_odd_uploads_are_refused_and_leave_nothing(tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text(KEY)
    given = settings(tmp_path, max_decode_seconds=60.0)
    with served(HummingEngine(), given, read_keys(keys)) as (address, _):
        told = refuse(Here(address, tmp_path))
    assert told["faults"] == []
    assert told["keys_in_the_log"] == 0 and told["uploads"] > 30


def test_requests_are_drawn_from_seed_and_number():
    voices = ["a", "b"]
    assert bodies(voices) == bodies(voices)
    assert {body["voice"] for body in bodies(voices)} == {"a", "b"}


def test_memory_compares_the_last_tenth_with_the_third():
    told = _memory([1.0] * 20 + [100.0] * 10 + [1.0] * 60 + [105.0] * 10)
    assert told["ratio"] == 1.05
