"""A stream's samples are those of the whole, and its state does not grow."""

import numpy as np
import pytest

from myxtts.config import SynthesisConfig
from myxtts.generation.vocoding import stretched
from myxtts.inference.streaming import SpeedState, StreamingSpeed, StreamingVocoder
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.hifigan import HifiDecoder
from myxtts.models.istft_decoder import IstftDecoder
from myxtts.models.xtts import XTTS

RNG = np.random.default_rng(0)
SPEAKER = RNG.normal(size=(1, 6)).astype("float32")


@pytest.fixture(scope="module")
def decoder():
    decoder = HifiDecoder(latent_dim=8, speaker_dim=6, initial_channels=16)
    decoder.build()
    for variable in decoder.trainable_variables:
        variable.assign(
            0.3 * RNG.normal(size=variable.shape) / np.sqrt(max(variable.shape[:-1], default=1))
        )
    return decoder


@pytest.fixture(scope="module")
def vocoder(decoder):
    return StreamingVocoder(decoder)


def stream(vocoder, latents: np.ndarray, sizes) -> tuple[np.ndarray, list[int]]:
    """The joined chunks, and the latents that were kept after each."""
    state, chunks, kept, start = vocoder.start(), [], [], 0
    for size in sizes:
        final = start + size >= len(latents)
        chunk, state = vocoder.push(state, latents[start : start + size], SPEAKER, final)
        chunks.append(chunk)
        kept.append(len(state.latents))
        start += size
    return np.concatenate(chunks), kept


@pytest.mark.parametrize("length", [1, 2, 5, 23, 148, 200])
@pytest.mark.parametrize("size", [1, 7, 20, 300])
def test_chunks_joined_are_the_whole(decoder, vocoder, length, size):
    latents = RNG.normal(size=(length, 8)).astype("float32")
    whole = np.asarray(decoder(latents[None], SPEAKER))[0]
    joined, _ = stream(vocoder, latents, [size] * -(-length // size))
    assert joined.shape == whole.shape
    np.testing.assert_allclose(joined, whole, atol=2e-5)


@pytest.fixture(
    scope="module",
    params=[
        {"dim": 12, "frame_blocks": 3},
        # Hears as little as may be.
        {"dim": 8, "code_blocks": 1, "code_lookahead": 0, "frame_blocks": 1, "frame_lookahead": 0},
        {"dim": 8, "code_blocks": 1, "code_kernel": 1, "code_lookahead": 0, "hop": 128},
    ],
)
def istft(request):
    decoder = IstftDecoder(latent_dim=8, speaker_dim=6, **request.param)
    decoder.build()
    decoder.head.kernel.assign(3 * decoder.head.kernel)
    return decoder


@pytest.mark.parametrize("length", [1, 2, 5, 23, 148])
def test_chunks_of_the_istft_decoder_are_the_whole(istft, length):
    latents = RNG.normal(size=(length, 8)).astype("float32")
    whole = np.asarray(istft(latents[None], SPEAKER))[0]
    vocoder = StreamingVocoder(istft)
    for size in (1, 7, 20, 300):
        joined, kept = stream(vocoder, latents, [size] * -(-length // size))
        assert joined.shape == whole.shape
        np.testing.assert_allclose(joined, whole, atol=1e-6)
        assert size > 20 or max(kept) <= 40


def at_speed(speed: float, latents: np.ndarray, size: int) -> tuple[np.ndarray, list[int]]:
    """Latents stretched in pushes of ``size``, and how many were kept after each."""
    changer, state = StreamingSpeed(speed), SpeedState(latents[:0])
    made, kept = [], []
    for start in range(0, len(latents), size):
        final = start + size >= len(latents)
        piece, state = changer.push(state, latents[start : start + size], final)
        made.append(piece)
        kept.append(len(state.latents))
    return np.concatenate(made), kept


@pytest.mark.parametrize("speed", [0.01, 0.5, 0.8, 0.97, 1.0, 1.03, 1.3, 2.0, 3.0, 30.0])
@pytest.mark.parametrize("length", [1, 2, 7, 20, 33, 66, 130])
def test_latents_at_another_speed_are_those_of_the_whole(speed, length):
    latents = RNG.normal(size=(length, 8)).astype("float32")
    whole = np.asarray(stretched(latents[None], speed))[0]
    for size in (1, 7, 20):
        joined, _ = at_speed(speed, latents, size)
        np.testing.assert_array_equal(joined, whole)


@pytest.mark.parametrize(("speed", "length"), [(0.5, 40), (0.8, 25), (2.0, 10), (1.3, 15)])
def test_speed_divides_the_length(speed, length):
    assert stretched(np.zeros((1, 20, 8), "float32"), speed).shape == (1, length, 8)


@pytest.mark.parametrize("speed", [0.5, 1.3])
def test_changing_the_speed_keeps_few_latents(speed):
    latents = RNG.normal(size=(600, 8)).astype("float32")
    _, kept = at_speed(speed, latents, 20)
    assert max(kept) <= 8


@pytest.mark.parametrize("speed", [0.8, 1.3])
@pytest.mark.parametrize("size", [1, 20])
def test_chunks_at_another_speed_are_the_whole(decoder, speed, size):
    latents = RNG.normal(size=(70, 8)).astype("float32")
    whole = np.asarray(decoder(stretched(latents[None], speed), SPEAKER))[0]
    joined, _ = stream(StreamingVocoder(decoder, speed), latents, [size] * (70 // size + 1))
    assert joined.shape == whole.shape
    np.testing.assert_allclose(joined, whole, atol=2e-5)


def test_an_empty_last_push_gives_the_rest(decoder, vocoder):
    latents = RNG.normal(size=(30, 8)).astype("float32")
    joined, _ = stream(vocoder, latents, [15, 14, 1])
    state = vocoder.start()
    first, state = vocoder.push(state, latents, SPEAKER, final=False)
    rest, _ = vocoder.push(state, latents[:0], SPEAKER, final=True)
    np.testing.assert_allclose(np.concatenate([first, rest]), joined, atol=2e-5)


def test_a_narrower_window_would_be_noticed(decoder):
    narrow = StreamingVocoder(decoder)
    narrow.context = 1
    latents = RNG.normal(size=(60, 8)).astype("float32")
    whole = np.asarray(decoder(latents[None], SPEAKER))[0]
    joined, _ = stream(narrow, latents, [20, 20, 20])
    assert np.abs(joined - whole).max() > 2e-4


def test_what_is_kept_does_not_grow(vocoder):
    latents = RNG.normal(size=(600, 8)).astype("float32")
    _, kept = stream(vocoder, latents, [20] * 30)
    assert max(kept[2:-1]) <= 32


@pytest.mark.parametrize("speed", [1.0, 0.7])
def test_a_streamed_text_is_the_spoken_one(trained, corpus, speed):
    model = XTTS.from_preset(trained.preset)
    settings = SynthesisConfig(vocoder="hifi", retries=0, stream_codes=6, speed=speed)
    synthesizer = Synthesizer(model, settings)
    voice = synthesizer.condition([corpus / "clip_0.wav"])
    text = "Hello there. This is a second piece of text."
    spoken = synthesizer.speak(text, voice)
    chunks = list(synthesizer.stream(text, voice))
    assert len(chunks) > 2
    joined = np.concatenate(chunks)
    assert abs(len(joined) - len(spoken.waveform)) == 0
    np.testing.assert_allclose(joined, spoken.waveform, atol=1e-3)
