"""The style encoders give what StyleTTS2's own class gave, and fail where a part is wrong."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the style encoders are torch's")

from myxtts.errors import AudioError, WeightsError  # noqa: E402
from tools.styletts2_kokoro import style_encoder, style_mel, style_weights  # noqa: E402

FIXTURES = Path(__file__).resolve().parents[4] / "shared/styletts2_fixtures"
CASES = ("tiny_converged_uv", "tiny_moved_uv", "flat_channels")
TOLERANCE = 1e-5
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"{FIXTURES} is absent")


def arrays(name):
    with np.load(FIXTURES / f"{name}.npz") as archive:
        return dict(archive)


def net_of(case):
    """The fixture's state dictionaries, as a checkpoint's ``net`` holds them."""
    net = {}
    for key, value in arrays(f"encoder_{case}").items():
        if key.startswith("net/"):
            _, module, name = key.split("/")
            net.setdefault(module, {})[name] = torch.from_numpy(value)
    return net


@pytest.fixture
def saved(tmp_path):
    def save(net):
        torch.save({"net": net, "epoch": 20, "iters": 3}, tmp_path / "epochs_2nd.pth")
        return tmp_path / "epochs_2nd.pth"

    return save


def far(pair, case, frames=(65, 66, 97)):
    """Largest distance from the reference over the random mels."""
    mels, wanted = arrays("mel_frontend"), arrays(f"encoder_{case}")
    pairs = [(mels[f"rand_mel_{size}"], wanted[f"rand_out_{size}"]) for size in frames]
    with torch.no_grad():
        return max(np.abs(pair(torch.from_numpy(x)).numpy() - y).max() for x, y in pairs)


@pytest.mark.parametrize("name", ["tone", "short", "odd"])
def test_the_mel_is_the_references(name):
    given = arrays("mel_frontend")
    mel = style_mel.style_mel(torch.from_numpy(given[f"wave_{name}"]))
    np.testing.assert_allclose(mel[None], given[f"mel_{name}"], atol=TOLERANCE)


def test_silence_and_the_filters_are_the_references():
    given = arrays("mel_frontend")
    mel = style_mel.style_mel(torch.zeros(24_000))
    np.testing.assert_allclose(mel[None, :, :8], given["silence_mel"], atol=TOLERANCE)
    np.testing.assert_allclose(style_mel.filterbank(16_000), given["filters"], atol=1e-6)


def test_a_filterbank_for_24_khz_is_another(monkeypatch):
    monkeypatch.setattr(style_mel, "FILTER_RATE", 24_000)
    given = arrays("mel_frontend")
    mel = style_mel.style_mel(torch.from_numpy(given["wave_tone"]))
    assert np.abs(mel[None].numpy() - given["mel_tone"]).max() > 0.01


@pytest.mark.parametrize("case", CASES)
def test_styles_are_the_references(saved, case):
    pair = style_weights.load_style_pair(saved(net_of(case)))
    assert far(pair, case) <= TOLERANCE
    mels, wanted = arrays("mel_frontend"), arrays(f"encoder_{case}")
    for name in ("tone", "short", "odd"):
        style = pair(torch.from_numpy(mels[f"mel_{name}"])[None])
        np.testing.assert_allclose(style, wanted[f"style_{name}"], atol=TOLERANCE)


@pytest.mark.parametrize("case", CASES)
def test_every_layer_is_the_references(saved, case):
    pair = style_weights.load_style_pair(saved(net_of(case)))
    wanted = arrays(f"encoder_{case}")
    x = torch.from_numpy(arrays("mel_frontend")["rand_mel_65"][:1])
    for number, layer in enumerate(pair.timbre.shared):
        x = layer(x)
        if f"probe_shared_{number}" in wanted:
            probe = wanted[f"probe_shared_{number}"]
            np.testing.assert_allclose(x.numpy().reshape(probe.shape), probe, atol=TOLERANCE)


def test_twin_u_moved(saved):
    net = net_of("tiny_converged_uv")
    key = "module.shared.2.conv1.weight_u"
    net["style_encoder"][key] = torch.roll(net["style_encoder"][key], 1)
    assert far(style_weights.load_style_pair(saved(net)), "tiny_converged_uv") > 1e-3


def test_twin_sigma_recomputed(saved, monkeypatch):
    largest = lambda weight, u, v: np.linalg.svd(weight.reshape(len(weight), -1))[1][0]  # noqa: E731
    monkeypatch.setattr(style_weights, "_sigma", largest)
    assert (
        far(style_weights.load_style_pair(saved(net_of("tiny_moved_uv"))), "tiny_moved_uv") > 0.01
    )


def test_twin_last_column_not_repeated(saved, monkeypatch):
    pair = style_weights.load_style_pair(saved(net_of("flat_channels")))
    zeros = lambda x: torch.nn.functional.pad(x, (0, x.shape[-1] % 2))  # noqa: E731
    monkeypatch.setattr(style_encoder, "even_width", zeros)
    assert far(pair, "flat_channels") > 1e-3


def test_twin_halves_swapped(saved):
    net = net_of("flat_channels")
    net["style_encoder"], net["predictor_encoder"] = net["predictor_encoder"], net["style_encoder"]
    assert far(style_weights.load_style_pair(saved(net)), "flat_channels") > 0.01


def test_65_frames_are_taken_and_64_refused(saved):
    pair = style_weights.load_style_pair(saved(net_of("flat_channels")))
    assert pair(torch.zeros(1, 1, 80, 65)).shape == (1, 20)
    with pytest.raises(AudioError, match="64 frames is too short.*65 or more, 0.8 s"):
        pair(torch.zeros(1, 1, 80, 64))
    tone = np.sin(np.arange(19_440) / 20).astype("float32")
    assert pair.embed(tone).shape == (20,)
    with pytest.raises(AudioError, match="too short"):
        pair.embed(tone[:600])


def test_a_full_encoder_has_the_references_size():
    encoder = style_encoder.StyleEncoder()
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 13_845_440


def test_keys_are_used_once_or_refused(saved):
    net = net_of("flat_channels")
    net["decoder"] = {f"module.generator.ups.{n}.bias": torch.zeros(1) for n in range(4)}
    style_weights.load_style_pair(saved(net))
    del net["style_encoder"]["module.shared.6.bias"]
    with pytest.raises(WeightsError, match="style_encoder.*shared.6.bias"):
        style_weights.load_style_pair(saved(net))
    net = net_of("flat_channels")
    net["predictor_encoder"]["module.more"] = torch.zeros(1)
    with pytest.raises(WeightsError, match="predictor_encoder.*more"):
        style_weights.load_style_pair(saved(net))
    with pytest.raises(WeightsError, match="has 'vocoder'"):
        style_weights.load_style_pair(
            saved(net_of("flat_channels") | {"vocoder": {"a": torch.ones(1)}})
        )


@pytest.mark.parametrize(
    "module",
    [
        {"decoder": {f"module.generator.ups.{n}.bias": torch.zeros(1) for n in range(2)}},
        {"diffusion": {"module.unet.to_mapping.0.bias": torch.zeros(1)}},
    ],
)
def test_a_checkpoint_of_one_speaker_is_refused(saved, module):
    with pytest.raises(WeightsError, match="of one speaker, as LJSpeech's"):
        style_weights.load_style_pair(saved(net_of("flat_channels") | module))


@pytest.mark.parametrize("kind", ["drawn", "copied"])
def test_a_checkpoint_of_the_first_stage_is_refused(saved, kind):
    net = net_of("tiny_converged_uv")
    if kind == "copied":
        net["predictor_encoder"] = dict(net["style_encoder"])
    generator = torch.Generator().manual_seed(3)
    for key, value in net["predictor_encoder"].items():
        if kind == "drawn" and key.endswith(("_u", "_v")):
            drawn = torch.randn(value.shape, generator=generator)
            net["predictor_encoder"][key] = drawn / drawn.norm()
    with pytest.raises(WeightsError, match="first stage: its predictor_encoder is not trained"):
        style_weights.load_style_pair(saved(net))


def test_other_files_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(WeightsError, match="no weights file"):
        style_weights.load_style_pair(tmp_path / "nothing.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(WeightsError, match="text.pth"):
        style_weights.load_style_pair(tmp_path / "text.pth")
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="has no 'net'"):
        style_weights.load_style_pair(tmp_path / "other.pth")
    torch.save({"net": {"bert": {"a": torch.zeros(2)}}}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="has no style_encoder"):
        style_weights.load_style_pair(tmp_path / "other.pth")


def test_weights_that_were_asked_for_and_are_absent_are_named():
    with pytest.raises(WeightsError, match="hf download a/b c/d.pth"):
        style_weights.find_style_weights("hf://a/b/c/d.pth")
