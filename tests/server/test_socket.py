"""Text in pieces, speech as sentences become whole; barge-in."""

import json

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from myxtts.server.keys import read_keys
from tests.server.stand_in import CHUNK, HummingEngine, served, settings, until


def address_of(address: str) -> str:
    return address.replace("http", "ws") + "/v1/audio/stream"


def say(socket, **message):
    socket.send(json.dumps(message))


def events_until(socket, kind: str) -> tuple[list[dict], int]:
    """Events up to one of a kind, and the bytes of speech between."""
    events, size = [], 0
    while not events or events[-1]["type"] != kind:
        message = socket.recv(timeout=10)
        if isinstance(message, bytes):
            size += len(message)
        else:
            events.append(json.loads(message))
    return events, size


def test_sentences_are_spoken_as_they_become_whole(humming):
    with connect(address_of(humming[0])) as socket:
        say(socket, type="start", voice="hana")
        assert events_until(socket, "started")[0][0]["sample_rate"] == 24_000
        for piece in ("One t", "wo thr", "ee. Fo", "ur"):
            say(socket, type="text", text=piece)
        events, _ = events_until(socket, "sentence")
        assert events[-1] == {"type": "sentence", "number": 1, "text": "One two three."}
        say(socket, type="text", text=" five.")
        say(socket, type="end")
        events, size = events_until(socket, "done")
        assert [e["text"] for e in events if e["type"] == "sentence"] == ["Four five."]
        assert size == 2 * 5 * CHUNK


def test_barge_in_is_silent_at_once(tmp_path):
    engine = HummingEngine(pause=0.05)
    with served(engine, settings(tmp_path)) as (address, _), connect(address_of(address)) as socket:
        say(socket, type="text", text="word " * 200 + ". More of it. ")
        say(socket, type="flush")
        events_until(socket, "sentence")
        socket.recv(timeout=20)
        say(socket, type="cancel")
        events_until(socket, "cancelled")
        assert until(lambda: engine.stopped == 1, 20)
        say(socket, type="text", text="Two words.")
        say(socket, type="end")
        events, size = events_until(socket, "done")
        assert [e["text"] for e in events if e["type"] == "sentence"] == ["Two words."]
        assert size == 2 * 2 * CHUNK


def test_a_socket_that_goes_away_frees_its_place(tmp_path):
    engine = HummingEngine(pause=0.2)
    with served(engine, settings(tmp_path)) as (address, _):
        with connect(address_of(address)) as socket:
            say(socket, type="text", text="word " * 200)
            say(socket, type="flush")
            events_until(socket, "sentence")
            # Given up before its first sound, it would never begin.
            socket.recv(timeout=20)
        assert until(lambda: engine.stopped == 1, 20)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[]",
        "null",
        "1e999",
        '{"type": []}',
        '{"type": "text"}',
        '{"type": "text", "text": 3}',
        '{"type": "start", "speed": 99}',
        '{"type": "start", "response_format": "exe"}',
        "[" * 5000,
        json.dumps({"type": "text", "text": "x" * 5000}),
        '{"type": "\\ud800"}',
    ],
)
def test_an_unfit_message_is_told_and_the_socket_lives(humming, message):
    with connect(address_of(humming[0])) as socket:
        socket.send(message)
        (event,), _ = events_until(socket, "error")
        assert event["error"]["message"]
        say(socket, type="start", voice="nobody")
        say(socket, type="text", text="Hello. ")
        say(socket, type="end")
        events, _ = events_until(socket, "done")
        assert "no voice" in events[1]["error"]["message"]


def test_a_binary_message_ends_it(humming):
    with connect(address_of(humming[0])) as socket:
        socket.send(b"\0\1")
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)
    assert humming[1].state.service.ready


def test_strangers_and_other_pages_are_refused(tmp_path):
    path = tmp_path / "keys"
    path.write_text("a key that opens it")
    with served(HummingEngine(), settings(tmp_path), read_keys(path)) as (address, _):
        good = {"Authorization": "Bearer a key that opens it"}
        with connect(address_of(address), additional_headers=good) as socket:
            say(socket, type="end")
            events_until(socket, "done")
        for headers in ({}, good | {"Origin": "http://evil.example"}):
            with pytest.raises(Exception, match="403|rejected"):
                connect(address_of(address), additional_headers=headers)
