"""A served model behind REST and gRPC, as the client's tests meet it.

Most of them hold for any model: a further one needs a fixture of its folder in
``conftest.py``, and that fixture's name in MODELS.
"""

import itertools
import socket
from dataclasses import dataclass

import pytest

from myxtts.config import SynthesisConfig
from myxtts.serving.client.speech_client import SpeechClient

NAME = "my_xtts"
TEXT = "This is number 3."
# Greedy, so that a stream and the whole can be compared.
SETTINGS = SynthesisConfig(temperature=0.0, retries=0)
# The stand-in first: some tests are of it alone.
MODELS = ("stand_in",)
DOORS = ("rest", "grpc")
EVERY = list(itertools.product(MODELS, DOORS))


@dataclass(frozen=True)
class Served:
    """A model behind a door."""

    door: str
    port: int
    version: int = 1

    @property
    def url(self) -> str:
        return f"{'http' if self.door == 'rest' else 'grpc'}://127.0.0.1:{self.port}"

    def client(self, **changes) -> SpeechClient:
        return SpeechClient(self.url, NAME, **{"settings": SETTINGS, **changes})


only_stand_in = pytest.mark.parametrize("served", EVERY[: len(DOORS)], indirect=True, ids="-".join)


def nowhere(door: str) -> Served:
    """A port at which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return Served(door, unused.getsockname()[1])
