"""``/v1/audio/speech``: formats, streams, sampling, refusals; xtts-api-server's calls."""

import base64
import io
import json
import re
import threading
import time

import av
import httpx
import numpy as np
import pytest
import soundfile

from tests.server.stand_in import CHUNK, HummingEngine, served, settings, until

TEXT = "One two three four five."
SECONDS = 5 * CHUNK / 24_000


def duration(content: bytes) -> float:
    with av.open(io.BytesIO(content)) as file:
        return sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))


@pytest.mark.parametrize("stream_format", [None, "audio"])
@pytest.mark.parametrize("name", ["wav", "mp3", "opus", "flac", "aac", "pcm"])
def test_every_format_holds_the_speech(client, name, stream_format):
    body = {"input": TEXT, "voice": "hana", "response_format": name, "stream_format": stream_format}
    answer = client.post("/v1/audio/speech", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("audio/")
    if name == "pcm":
        assert len(answer.content) == 2 * 5 * CHUNK
    else:
        assert abs(duration(answer.content) - SECONDS) < 0.15


def test_a_whole_wav_file_is_exact(client):
    answer = client.post("/v1/audio/speech", json={"input": TEXT, "response_format": "wav"})
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert rate == 24_000 and len(samples) == 5 * CHUNK
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_events_carry_the_speech(client):
    body = {"input": TEXT, "response_format": "pcm", "stream_format": "sse"}
    answer = client.post("/v1/audio/speech", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line]
    deltas = [event["audio"] for event in events if event["type"] == "speech.audio.delta"]
    assert sum(len(base64.b64decode(part)) for part in deltas) == 2 * 5 * CHUNK
    assert events[-1] == {"type": "speech.audio.done", "seconds": SECONDS}


def test_sampling_reaches_the_engine(client, humming):
    sampling = {"temperature": 0.5, "top_k": 3, "top_p": 0.9, "repetition_penalty": 2.0}
    body = {"input": TEXT, "voice": {"id": "hana"}, "speed": 1.5, "seed": 7, "language": "de"}
    answer = client.post("/v1/audio/speech", json=body | sampling | {"instructions": "Whisper."})
    assert answer.headers["x-myxtts-ignored"] == "instructions"
    _, language, options, whole, _ = humming[2].spoken[-1]
    assert (language, whole, options.speed, options.seed) == ("de", True, 1.5, 7)
    assert options.given() == sampling | {"seed": 7}


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"input": "..."}, 400, "nothing"),
        ({"input": "x" * 5000}, 400, "5000 characters"),
        ({"input": None}, 400, "input"),
        ({"voice": "nobody"}, 400, "hana"),
        ({"voice": "hana:0+hana:1"}, 400, "above 0"),
        ({"voice": "../../etc/passwd"}, 400, "no voice"),
        ({"response_format": "exe"}, 400, "response_format"),
        ({"speed": 99}, 400, "speed"),
        ({"language": "tlh"}, 400, "language"),
        ({"temperature": -1}, 400, "temperature"),
    ],
)
def test_refusals_have_openais_shape(client, change, status, told):
    answer = client.post("/v1/audio/speech", json={"input": TEXT} | change)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error" and told in error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_a_blend_is_the_weighted_mean(client, humming):
    body = {"input": TEXT, "voice": "hana:0.7+hana:0.3"}
    assert client.post("/v1/audio/speech", json=body).status_code == 200
    np.testing.assert_allclose(humming[2].spoken[-1][-1].latents, 1.0, rtol=1e-6)


def test_xtts_api_servers_calls(client):
    assert client.get("/speakers_list").json() == ["hana"]
    assert client.get("/speakers").json()[0]["name"] == "hana"
    assert client.get("/languages").json()["languages"] == {"de": "de", "en": "en"}
    body = {"text": TEXT, "speaker_wav": "hana.wav", "language": "en"}
    answer = client.post("/tts_to_audio/", json=body)
    assert soundfile.info(io.BytesIO(answer.content)).frames == 5 * CHUNK
    answer = client.get("/tts_stream", params=body)
    assert answer.content[:4] == b"RIFF" and abs(duration(answer.content) - SECONDS) < 0.1


class HeldEngine(HummingEngine):
    """Speaks its first word, and the others when ``may_go_on`` is set."""

    def __init__(self):
        super().__init__()
        self.may_go_on = threading.Event()

    def speak(self, *call):
        for number, chunk in enumerate(super().speak(*call)):
            yield chunk
            assert number or self.may_go_on.wait(60)


def refusals(address: str) -> int:
    """How many were refused because others were served."""
    metrics = httpx.get(f"{address}/metrics").text
    found = re.search(r'refusals_total\{reason="busy"\} (\d+)', metrics)
    return int(found[1]) if found else 0


def test_a_full_queue_refuses_with_a_time_to_wait(tmp_path):
    engine = HeldEngine()
    with served(engine, settings(tmp_path, max_concurrent=1, queue=1)) as (address, _):
        found = []

        def call():
            body = {"input": TEXT, "response_format": "pcm"}
            found.append(httpx.post(f"{address}/v1/audio/speech", json=body, timeout=60))

        threads = [threading.Thread(target=call) for _ in range(5)]
        for thread in threads:
            thread.start()
        # Nobody is done before everybody has come.
        assert until(lambda: refusals(address) == 3, 50)
        engine.may_go_on.set()
        for thread in threads:
            thread.join()
        statuses = sorted(answer.status_code for answer in found)
        assert statuses == [200, 200, 429, 429, 429]
        refused = next(answer for answer in found if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("stream_format", [None, "audio"])
def test_a_client_that_goes_away_frees_its_place(tmp_path, stream_format):
    engine = HummingEngine(pause=0.05)
    with served(engine, settings(tmp_path, queue=0)) as (address, app):
        body = {"input": "word " * 400, "response_format": "pcm", "stream_format": stream_format}
        with httpx.Client(timeout=0.5) as gone:
            if stream_format:
                with gone.stream("POST", f"{address}/v1/audio/speech", json=body) as answer:
                    next(answer.iter_raw())
            else:
                with pytest.raises(httpx.ReadTimeout):
                    gone.post(f"{address}/v1/audio/speech", json=body)
        started = time.monotonic()
        assert until(lambda: engine.stopped == 1, 20), time.monotonic() - started
        again = {"input": "One.", "response_format": "pcm"}
        assert until(lambda: httpx.post(f"{address}/v1/audio/speech", json=again).is_success, 20)


def test_a_text_that_takes_too_long_is_given_up(tmp_path):
    engine = HummingEngine(pause=0.05)
    with served(engine, settings(tmp_path, max_seconds=0.2)) as (address, _):
        body = {"input": "word " * 100, "response_format": "pcm"}
        answer = httpx.post(f"{address}/v1/audio/speech", json=body)
        # On a busy machine it may not even have begun.
        assert answer.status_code == 503
        assert until(lambda: engine.stopped == len(engine.spoken), 20)


def test_the_log_has_no_text(client, caplog):
    with caplog.at_level("INFO"):
        client.post("/v1/audio/speech", json={"input": "A secret sentence."})
        # The gateway writes its line once the answer has been sent.
        assert until(lambda: '"route": "/v1/audio/speech"' in caplog.text, 20)
    assert "secret" not in caplog.text


def test_openai_as_a_client(humming, tmp_path):
    openai = pytest.importorskip("openai", reason="the package openai is not installed")
    client = openai.OpenAI(base_url=f"{humming[0]}/v1", api_key="none", max_retries=0)
    call = {"model": "tts-1", "voice": "hana", "input": TEXT}
    spoken = client.audio.speech.create(**call, response_format="wav")
    assert soundfile.info(io.BytesIO(spoken.content)).frames == 5 * CHUNK
    extra = {"stream_format": "audio"}
    with client.audio.speech.with_streaming_response.create(**call, extra_body=extra) as answer:
        answer.stream_to_file(tmp_path / "speech.mp3")
    assert abs(duration((tmp_path / "speech.mp3").read_bytes()) - SECONDS) < 0.15
    assert [model.id for model in client.models.list()] == ["humming"]
    with pytest.raises(openai.BadRequestError, match="no voice"):
        client.audio.speech.create(**call | {"voice": "nobody"})


def test_openais_retries_wait_as_they_are_told(tmp_path):
    """A place is taken until two have been refused; a patient client comes again."""
    openai = pytest.importorskip("openai", reason="the package openai is not installed")
    engine = HeldEngine()
    with served(engine, settings(tmp_path, queue=0)) as (address, app):
        calls = {"base_url": f"{address}/v1", "api_key": "none"}
        call = {"model": "tts-1", "voice": "hana", "response_format": "pcm"}
        patient, hasty = (openai.OpenAI(**calls, max_retries=n) for n in (20, 0))
        with httpx.Client(base_url=address, timeout=60) as other:
            body = call | {"input": "word " * 20, "stream_format": "audio"}
            with other.stream("POST", "/v1/audio/speech", json=body) as taking:
                next(taking.iter_raw())
                with pytest.raises(openai.RateLimitError) as refused:
                    hasty.audio.speech.create(**call, input="One.")
                assert int(refused.value.response.headers["retry-after"]) >= 1
                threading.Thread(target=_go_on_at_two, args=(address, engine)).start()
                spoken = patient.audio.speech.create(**call, input="One.")
        assert len(spoken.content) == 2 * CHUNK
        assert 2 <= refusals(address) < 10


def _go_on_at_two(address: str, engine: HeldEngine) -> None:
    if until(lambda: refusals(address) >= 2, seconds=60):
        engine.may_go_on.set()
