"""Text and a recording go to a served model over REST and gRPC, and speech comes back.

The servers are other processes over TensorFlow's C library (``loopback.py``).
"""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from myxtts.config import SynthesisConfig
from myxtts.errors import AudioError, ConfigError, TextError
from myxtts.generation.driver import FLAGS
from myxtts.serving.client import speech_client
from myxtts.serving.client.speech_client import ServedVoice, SpeechClient
from myxtts.serving.client.transports import ServingError
from myxtts.text.front_end import FRONT_ENDS
from myxtts.timing import OUTPUT_RATE, PAUSE_SECONDS
from tests.serving.doors import NAME, TEXT, nowhere, only_stand_in
from tests.serving.stand_in import STUTTERING_SEED

pytest.importorskip("requests", reason="REST needs the extra `serving`")


def test_a_text_is_spoken_in_the_voice_of_a_recording(served, reference, tmp_path):
    client = served.client()
    voice = client.condition(reference)
    assert voice.latents.ndim == 3
    assert voice.speaker_embedding.dtype == np.float32
    speech = client.speak(TEXT, voice)
    assert speech.waveform.dtype == np.float32
    assert speech.waveform.ndim == len(speech.flags) == 1
    assert 0 < np.abs(speech.waveform).max() <= 1
    speech.save(tmp_path / "out.wav")
    stored, rate = soundfile.read(tmp_path / "out.wav")
    assert (len(stored), rate) == (len(speech.waveform), OUTPUT_RATE)


def test_a_recording_is_cloned_as_its_voice_speaks(served, reference):
    client = served.client()
    cloned = client.speak(TEXT, reference).waveform
    np.testing.assert_allclose(cloned, client.speak(TEXT, client.condition(reference)).waveform)


def test_chunks_of_a_stream_joined_are_the_whole(served, reference):
    client = served.client()
    text = "This is number 3. This clip is this."
    voice = client.condition(reference)
    changes = {"max_characters": 20}
    whole = client.speak(text, voice, **changes)
    chunks = list(client.stream(text, voice, first_codes=4, stream_codes=6, **changes))
    assert len(whole.flags) == 2
    assert len(chunks) > 4
    np.testing.assert_allclose(np.concatenate(chunks), whole.waveform, atol=1e-4)


def test_a_long_text_is_spoken_in_pieces_with_pauses(served, reference):
    client = served.client()
    voice = client.condition(reference)
    parts = ["This is number 3.", "This clip is this."]
    # Pieces have seeds of their own; greedy speech has no use for them, the stand-in has.
    alone = [client.speak(part, voice, seed=n << 32).waveform for n, part in enumerate(parts)]
    joined = client.speak(" ".join(parts), voice, max_characters=20).waveform
    expected = np.concatenate(
        [alone[0], np.zeros(int(PAUSE_SECONDS * OUTPUT_RATE), "float32"), alone[1]]
    )
    np.testing.assert_allclose(joined, expected, atol=1e-4)


@only_stand_in
def test_rest_and_grpc_give_the_same_speech(served, rest, reference):
    found = served.client().speak(TEXT, reference).waveform
    np.testing.assert_array_equal(found, rest.client().speak(TEXT, reference).waveform)


@only_stand_in
def test_speech_with_a_flag_is_tried_again_with_the_next_seed(served, reference):
    client = served.client()
    changes = {"temperature": 0.5, "seed": STUTTERING_SEED}
    assert client.speak(TEXT, reference, **changes).flags == [("repeats",)]
    assert client.speak(TEXT, reference, retries=1, **changes).flags == [()]


def test_an_unknown_language_is_one_clear_sentence(served, reference):
    client = served.client()
    voice = client.condition(reference)
    sentence = r"^\S+ refuses the request: unknown language [^\n]*xx[^\n]*\.$"
    with pytest.raises(ServingError, match=sentence):
        client.speak(TEXT, voice, "xx")
    with pytest.raises(ServingError, match=sentence):
        next(client.stream(TEXT, voice, "xx"))


def test_a_silent_recording_is_refused_by_its_sentence(served, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    with pytest.raises(ServingError, match=r"refuses the request: the audio is silent\.$"):
        served.client().condition(tmp_path / "silent.wav")


def test_a_model_the_server_does_not_have_is_named(served, reference):
    for client in (SpeechClient(served.url, "other"), SpeechClient(served.url, NAME, version=9)):
        with pytest.raises(ServingError, match="no such model as '(other|my_xtts)': Servable"):
            client.condition(reference)
    assert SpeechClient(served.url, NAME, version=served.version).condition(reference)


def test_sixteen_bits_are_sent_as_they_are_and_no_more_than_is_heard(tmp_path):
    path = tmp_path / "long.wav"
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 8000 * 3, "int16")
    soundfile.write(path, samples, 8000)
    client = nowhere("rest").client(settings=SynthesisConfig(max_ref_length=1.5))
    (content,) = client._recording(path)["wav_bytes"]
    sent, rate = soundfile.read(io.BytesIO(content), dtype="int16")
    assert soundfile.info(io.BytesIO(content)).subtype == "PCM_16"
    assert rate == 8000
    np.testing.assert_array_equal(sent, samples[: int(2.5 * 8000)])


def test_threads_get_what_one_gets(served, reference):
    client = served.client()
    voice = client.condition(reference)

    def speak(seed: int) -> np.ndarray:
        return client.speak(TEXT, voice, seed=seed % 3).waveform

    alone = [speak(seed) for seed in range(3)]
    with ThreadPoolExecutor(8) as pool:
        for seed, waveform in enumerate(pool.map(speak, range(16))):
            np.testing.assert_allclose(waveform, alone[seed % 3], atol=1e-5)


def test_mistakes_are_told_without_asking_the_server(reference, tmp_path):
    client = nowhere("rest").client()
    with pytest.raises(TextError, match="nothing that can be spoken"):
        client.speak(" ... ", reference)
    with pytest.raises(ConfigError, match="'num_beams' is no setting of a served model"):
        client.speak(TEXT, reference, num_beams=4)
    with pytest.raises(ConfigError, match="temperature"):
        client.stream(TEXT, reference, temperature=-1.0)
    with pytest.raises(ConfigError, match="too large"):
        client.speak(TEXT, reference, seed=2**63)
    with pytest.raises(AudioError, match="no audio file"):
        client.speak(TEXT, tmp_path / "absent.wav")


def test_a_front_end_reads_what_is_sent(monkeypatch):
    """Pieces are cut in letters, and go out in phonemes."""
    sent = []

    class Transport:
        def predict(self, signature, given):
            sent.append(given["text"][0])
            flags = dict.fromkeys(FLAGS, np.array([False]))
            return flags | {"waveform": np.zeros((1, 9), "float32"), "samples": np.array([9])}

    monkeypatch.setattr(speech_client, "connect", lambda *args: Transport())
    monkeypatch.setitem(FRONT_ENDS, "hibari", (str.lower, ("en",)))
    client = SpeechClient("http://localhost:1", NAME)
    voice = ServedVoice(np.zeros((1, 1, 1), "float32"), np.zeros((1, 1), "float32"))
    client.speak("Sad it. Do [ɪt].", voice, front_end="hibari", max_characters=8)
    client.speak("Say it.", voice)
    texts = [item.decode() if isinstance(item, bytes) else item for item in sent]
    assert texts == ["[sad it.]", "[do] [ɪt][.]", "Say it."]
