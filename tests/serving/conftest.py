"""Servers of the client's tests, one process each; a model is served once for all of them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import hum
from tests.serving.doors import EVERY, NAME, Served
from tests.serving.loopback import serving


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory) -> Path:
    from tests.serving.stand_in import write_stand_in

    return write_stand_in(tmp_path_factory.mktemp(NAME) / "3")


@pytest.fixture(scope="session", params=EVERY, ids="-".join)
def served(request):
    model, door = request.param
    if door == "grpc":
        pytest.importorskip("tensorflow_serving", reason="gRPC needs the extra `serving`")
    folder = request.getfixturevalue(model)
    with serving(door, folder, NAME) as port:
        yield Served(door, port, int(folder.name))


@pytest.fixture(scope="session")
def rest(stand_in):
    with serving("rest", stand_in, NAME) as port:
        yield Served("rest", port, int(stand_in.name))


@pytest.fixture(scope="session")
def reference(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "voice.flac"
    clip = hum(1.5, 120, np.random.default_rng(0), rate=16_000)
    soundfile.write(path, np.stack([clip, clip], axis=1), 16_000)
    return path
