"""``--backend tf-serving``: the gateway in front of a TensorFlow Serving's REST door."""

import base64
import io
import json

import httpx
import numpy as np
import pytest
import soundfile

from myxtts.errors import CheckpointError, ConfigError
from myxtts.server.command import main, make_engine, parser
from myxtts.server.keys import ANYBODY
from myxtts.server.served import ServedEngine
from myxtts.serving.client.speech_client import ServedVoice
from tests.server.stand_in import served, settings
from tests.server.test_voices import recording, upload

pytest.importorskip("requests", reason="REST to a TensorFlow Serving needs the package requests")

NAME = "my_xtts"
SAMPLES_PER_CODE = 1200
TEXT = "Hello there."


class HummingModel:
    """What the REST door asks of a model: a code a letter, whose pitch is the seed's."""

    name, version = NAME, "1"

    def __init__(self):
        self.asked, self.fails = [], False

    def require(self, name, version):
        self.refuse("Servable not found", name == NAME and version in (None, "1"))

    def refuse(self, told: str, is_fine: bool) -> None:
        from myxtts.serving.check.session import INVALID_ARGUMENT, SessionError

        if self.fails or not is_fine:
            # 14 is what a server says that is too busy.
            raise SessionError(told, 14 if self.fails else INVALID_ARGUMENT)

    def answer(self, body: bytes) -> dict:
        request = json.loads(body)
        self.asked.append(request)
        inputs = request["inputs"]
        return {"outputs": getattr(self, request["signature_name"])(**inputs)}

    def condition_wav(self, wav_bytes):
        content = base64.b64decode(wav_bytes[0]["b64"])
        loud = float(np.abs(soundfile.read(io.BytesIO(content))[0]).max())
        self.refuse("assertion failed: [the audio is silent.]", loud > 0.01)
        return {"latents": np.zeros((1, 2, 4)).tolist(), "speaker_embedding": [[loud] * 3]}

    def stream_start(self, text, language):
        length = len(text[0])
        state = {"ids": [[1] * length], "id_lengths": [length], "characters": [length]}
        return state | {"codes": [[]], "emitted": [0]}

    def stream_next(self, characters, codes, count, speaker_embedding, seed, **others):
        first = len(codes[0])
        made = min(characters[0], first + count[0])
        time = np.arange(SAMPLES_PER_CODE * first, SAMPLES_PER_CODE * made)
        wave = speaker_embedding[0][0] * np.sin(time * 0.01 * (1 + seed[0] % 5))
        return {
            "waveform": [wave.tolist()],
            "samples": [len(wave)],
            "codes": [[0] * made],
            "emitted": [made],
            "finished": [made == characters[0]],
        }


@pytest.fixture
def model():
    return HummingModel()


@pytest.fixture
def gateway(model, tmp_path):
    """A client of a gateway in front of a served model."""
    from tests.serving.loopback import start_rest

    place = f"http://127.0.0.1:{start_rest(model)}"
    given = settings(tmp_path, backend="tf-serving", tf_serving=place, max_decode_seconds=120.0)
    with (
        served(make_engine(given, None), given) as (address, app),
        httpx.Client(base_url=address, timeout=150) as client,
    ):
        client.voices = app.state.service.voices
        yield client


@pytest.fixture
def anna(gateway, tmp_path):
    """A voice that the served model made of a recording."""
    path = tmp_path / "anna.wav"
    path.write_bytes(recording())
    gateway.voices.add("anna", "", ANYBODY, path)


def speak(client, **changes):
    body = {"input": TEXT, "voice": "anna", "response_format": "pcm", "seed": 3} | changes
    return client.post("/v1/audio/speech", json=body)


def test_a_served_model_speaks_with_an_uploaded_voice(gateway, model):
    assert gateway.get("/v1/models").json()["data"][0]["id"] == NAME
    assert gateway.get("/v1/voices").json()["data"] == []
    assert "no voices yet" in speak(gateway, voice=None).json()["error"]["message"]
    assert upload(gateway, recording()).status_code == 201
    answer = speak(gateway)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) == 2 * SAMPLES_PER_CODE * len(TEXT)
    assert speak(gateway).content == answer.content
    assert speak(gateway, stream_format="audio").content == answer.content
    assert speak(gateway, seed=4).content != answer.content
    assert speak(gateway, voice="anna:0.5+anna:0.5").content == answer.content


def test_sampling_reaches_the_served_model(gateway, model, anna):
    sampling = {"temperature": 0.5, "top_k": 3, "top_p": 0.75, "repetition_penalty": 2.0}
    assert speak(gateway, **sampling).status_code == 200
    inputs = model.asked[-1]["inputs"]
    assert {name: inputs[name][0] for name in sampling} == sampling
    assert inputs["seed"] == [3]


def test_what_a_served_model_cannot_do_is_told(gateway, anna):
    answer = speak(gateway, speed=1.5)
    assert answer.status_code == 400 and "exported" in answer.json()["error"]["message"]
    answer = speak(gateway, input="...")
    assert answer.status_code == 400 and answer.json()["error"]["message"].endswith(".")


def test_a_served_model_that_fails_is_told_of_and_comes_back(gateway, model, anna):
    model.fails = True
    answer = speak(gateway)
    assert answer.status_code == 503 and answer.headers["retry-after"]
    error = answer.json()["error"]
    assert error["code"] == "backend" and "127.0.0.1" not in error["message"]
    model.fails = False
    assert speak(gateway).status_code == 200


def test_voices_outlive_the_gateway_and_belong_to_one_model(tmp_path):
    engine = ServedEngine("http://127.0.0.1:1", NAME)
    voice = ServedVoice(np.ones((1, 2, 4), "float32"), np.ones((1, 3), "float32"))
    path = tmp_path / "anna" / "voice.safetensors"
    path.parent.mkdir()
    engine.save(voice, path)
    for name, array in vars(engine.load(path)).items():
        np.testing.assert_array_equal(array, getattr(voice, name))
    with pytest.raises(CheckpointError, match="another model"):
        ServedEngine("http://127.0.0.1:1", "other").load(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="damaged"):
        engine.load(path)


def test_a_preset_is_not_for_a_served_model():
    words = ["--backend", "tf-serving", "--preset", "p"]
    with pytest.raises(ConfigError, match="--preset"):
        main(parser().parse_args(words))


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="http://HOST:PORT"):
        ServedEngine("localhost:8501", NAME)
