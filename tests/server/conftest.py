"""Gateways that several tests call."""

import importlib.util

import pytest

NEEDED = ("fastapi", "uvicorn", "websockets", "multipart", "prometheus_client", "av", "httpx")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
# Whole files, whose imports would fail.
collect_ignore_glob = ["test_*.py"] if MISSING else []


@pytest.fixture(scope="session")
def humming(tmp_path_factory):
    """Address, application and engine of a gateway that hums."""
    from tests.server.stand_in import HummingEngine, served, settings

    engine = HummingEngine()
    with served(engine, settings(tmp_path_factory.mktemp("gateway"))) as (address, app):
        yield address, app, engine


@pytest.fixture
def client(humming):
    """An HTTP client of it."""
    import httpx

    with httpx.Client(base_url=humming[0], timeout=20) as opened:
        yield opened
