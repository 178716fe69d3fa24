"""Slower and faster speech is Coqui's, whole and streamed."""

import numpy as np
import pytest

from myxtts.config import SynthesisConfig
from myxtts.generation.vocoding import stretched
from myxtts.inference.synthesizer import Synthesizer
from myxtts.inference.voice import Voice
from myxtts.weights.coqui_xtts import convert_checkpoint

TTS = pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")

TEXT = "Hello there."


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Coqui's model, and the same converted."""
    from benchmarks.upstream.coqui import write_checkpoint

    folder = tmp_path_factory.mktemp("XTTS-v2")
    model, _ = write_checkpoint(folder)
    return model, convert_checkpoint(folder)


@pytest.fixture(scope="module")
def voice(pair) -> Voice:
    """Drawn latents and embedding: what they were made of does not matter here."""
    model, rng = pair[1], np.random.default_rng(4)
    latents = rng.normal(size=(1, 32, model.gpt.model_dim)).astype("float32")
    embedding = rng.normal(size=(1, model.decoder.speaker_dim)).astype("float32")
    embedding /= np.linalg.norm(embedding)
    return Voice(latents, embedding, model.fingerprint, model.encoder_provenance, ("0" * 64,))


def settings(**changes) -> SynthesisConfig:
    base = {"temperature": 0.0, "repetition_penalty": 5.0, "coqui_compatible": True}
    return SynthesisConfig(**base | {"seconds_per_character": 100.0} | changes)


def coqui(model, voice: Voice, speed: float) -> np.ndarray:
    """Coqui's waveform of ``TEXT``."""
    latents = torch.from_numpy(voice.latents)
    embedding = torch.from_numpy(voice.speaker_embedding)[..., None]
    spoken = model.inference(
        TEXT, "en", latents, embedding, do_sample=False, repetition_penalty=5.0, speed=speed
    )
    return spoken["wav"]


@pytest.mark.parametrize("speed", [0.8, pytest.param(1.3, marks=pytest.mark.slow)])
def test_speech_at_another_speed_is_coquis(pair, voice, speed):
    theirs = coqui(pair[0], voice, speed)
    synthesizer = Synthesizer(pair[1], settings(speed=speed))
    ours = synthesizer.speak(TEXT, voice).waveform
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-3 * np.abs(theirs).max()
    streamed = np.concatenate(list(synthesizer.stream(TEXT, voice)))
    np.testing.assert_allclose(streamed, ours, atol=1e-4)
    asis = Synthesizer(pair[1], settings()).speak(TEXT, voice).waveform
    assert len(asis) / len(ours) == pytest.approx(speed, rel=0.02)


@pytest.mark.parametrize("speed", [0.01, 0.05, 0.3, 0.77, 0.8, 0.97, 1.1, 1.3, 2.97, 3.0])
def test_latents_are_stretched_as_torch_does(speed):
    rng = np.random.default_rng(0)
    for length in (4, 13, 33, 300, 594, 603):
        latents = rng.normal(size=(1, length, 5)).astype("float32")
        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(latents).transpose(1, 2),
            scale_factor=1.0 / max(speed, 0.05),
            mode="linear",
        ).transpose(1, 2)
        ours = np.asarray(stretched(latents, speed))
        assert ours.shape == tuple(theirs.shape)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
