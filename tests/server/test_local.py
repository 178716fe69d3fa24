"""A model of this process behind the gateway: answers are those of the synthesizer alone."""

import dataclasses
import io
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import soundfile

from myxtts.config import SynthesisConfig
from myxtts.errors import ConfigError
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.server.engines import Options
from myxtts.server.local import LocalEngine, OpenCoder
from myxtts.text.tokenizer import train_tokenizer
from tests.server.stand_in import served, settings

TEXT = "Hello there. This is clip number two."


@pytest.fixture(scope="module")
def engine(micro_config, tmp_path_factory):
    """The micro model, whose decoder is said to be trained: nobody listens here."""
    model = XTTS(micro_config, train_tokenizer([(TEXT, "en")] * 4, 300))
    model.trained_steps = {"dvae": 1, "gpt": 1, "decoder": 1}
    folder = tmp_path_factory.mktemp("presets") / "micro"
    model.save_to_preset(folder)
    return LocalEngine(folder, SynthesisConfig(vocoder="hifi", seconds_per_character=0.01))


@pytest.fixture(scope="module")
def voice(engine, corpus):
    return engine.condition(corpus / "clip_0.wav")


def joined(chunks) -> np.ndarray:
    return np.concatenate(list(chunks))


def test_chunks_are_the_synthesizers(engine, voice):
    own = engine._synthesizer
    for seed, speed in ((0, 1.0), (7, 1.5)):
        given = dataclasses.replace(own.settings, seed=seed, speed=speed)
        alone = joined(Synthesizer(own.model, given).stream(TEXT, voice))
        options = Options(seed=seed, speed=speed)
        served_ = joined(engine.speak(TEXT, voice, "en", options, whole=False))
        np.testing.assert_allclose(served_, alone, atol=1e-5)


def test_rules_enter_the_graph(engine, voice):
    own = engine._synthesizer
    given = {"temperature": 1.3, "top_k": 5, "top_p": 0.5, "repetition_penalty": 2.0}
    settings_ = dataclasses.replace(own.settings, **given)
    alone = joined(Synthesizer(own.model, settings_).stream("Hello.", voice))
    found = joined(engine.speak("Hello.", voice, "en", Options(**given), whole=False))
    np.testing.assert_allclose(found, alone, atol=1e-5)
    greedy = [
        joined(engine.speak("Hello.", voice, "en", Options(temperature=0.0, seed=s), whole=False))
        for s in (1, 2)
    ]
    np.testing.assert_array_equal(*greedy)


def test_texts_spoken_at_once_are_those_spoken_alone(engine, voice):
    def speak(seed: int) -> np.ndarray:
        return joined(engine.speak("Hello.", voice, "en", Options(seed=seed), whole=False))

    alone = [speak(seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as threads:
        for one, other in zip(alone, threads.map(speak, range(6)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_whole_speech_has_places_to_stop(engine, voice):
    chunks = list(engine.speak(TEXT, voice, "en", Options(), whole=True))
    assert any(not len(chunk) for chunk in chunks) and sum(map(len, chunks)) > 0


def test_takes_of_a_whole_speech_are_made_together(engine, voice, monkeypatch):
    own, sizes, blocks = engine._synthesizer, [], OpenCoder.blocks

    def counted(self, requests):
        sizes.append(len(requests))
        return blocks(self, requests)

    monkeypatch.setattr(OpenCoder, "blocks", counted)
    given = dataclasses.replace(own.settings, candidates=3, retries=0)
    alone = Synthesizer(own.model, given).speak(TEXT, voice)
    coder = engine._coder.by(candidates=3, retries=0)
    monkeypatch.setattr(engine, "_coder", coder)
    found = joined(engine.speak(TEXT, voice, "en", Options(), whole=True))
    np.testing.assert_allclose(found, alone.waveform, atol=1e-5)
    assert sizes == [3] * len(alone.codes)


def test_a_preset_may_name_the_other_engine(engine, voice):
    pytest.importorskip("numba", reason="numba, of the int8 engine, is not installed")
    own = engine._synthesizer
    given = dataclasses.replace(own.settings, engine="int8")
    alone = joined(Synthesizer(own.model, given).stream("Hello.", voice))
    other = LocalEngine(own.model.preset, given)
    found = joined(other.speak("Hello.", voice, "en", Options(), whole=False))
    np.testing.assert_allclose(found, alone, atol=1e-5)


def test_values_out_of_range_are_told(engine):
    with pytest.raises(ConfigError, match="top_p"):
        engine.check("Hello.", "en", Options(top_p=2.0))


def test_through_the_door(engine, corpus, tmp_path):
    with served(engine, settings(tmp_path)) as (address, _):
        client = httpx.Client(base_url=address, timeout=120)
        assert client.post("/v1/audio/speech", json={"input": "Hi."}).status_code == 400
        files = {"audio": (corpus / "clip_0.wav").read_bytes()}
        fields = {"name": "anna", "consent": "yes"}
        assert client.post("/v1/voices", data=fields, files=files).status_code == 201
        body = {"input": "Hello there.", "voice": "anna", "response_format": "wav", "seed": 3}
        whole = client.post("/v1/audio/speech", json=body)
        assert soundfile.info(io.BytesIO(whole.content)).duration > 0.05
        assert client.post("/v1/audio/speech", json=body).content == whole.content
        refused = client.post("/v1/audio/speech", json=body | {"language": "tlh"})
        assert "unknown language" in refused.json()["error"]["message"]
        metrics = client.get("/metrics").text
        assert "myxtts_first_audio_seconds_count" in metrics


def test_another_models_voice_is_refused(engine, voice, tmp_path):
    room = tmp_path / "voices" / "anybody" / "anna"
    room.mkdir(parents=True)
    dataclasses.replace(voice, model="0" * 64).save(room / "voice.safetensors")
    (room / "voice.json").write_text("{}")
    with served(engine, settings(tmp_path)) as (address, _):
        body = {"input": "Hello.", "voice": "anna"}
        answer = httpx.post(f"{address}/v1/audio/speech", json=body, timeout=60)
        assert answer.status_code == 400
        assert "another model" in answer.json()["error"]["message"]
