"""Speaker embedders: equal to their upstream, differentiable, and open to others."""

import logging
import os

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the voice optimiser is torch's")

from myxtts.audio.io import read_audio, resample  # noqa: E402
from myxtts.errors import ConfigError, WeightsError  # noqa: E402
from tests.tools.kokoro.fakes import BandEmbedder  # noqa: E402
from tools.kokoro.resampling import resample as resample_torch  # noqa: E402
from tools.kokoro.resemblyzer_embedder import ResemblyzerEmbedder  # noqa: E402
from tools.kokoro_voice import embedders  # noqa: E402
from tools.kokoro_voice.config import OptimizerConfig  # noqa: E402
from tools.kokoro_voice.embedders import WavLMEmbedder, open_embedder  # noqa: E402

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 8),
    "conv_stride": (5, 8),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "tdnn_dim": (8, 8, 12),
    "tdnn_kernel": (5, 3, 1),
    "tdnn_dilation": (1, 2, 1),
    "xvector_output_dim": 6,
}


def noise(samples: int, gain: float = 0.1) -> np.ndarray:
    return (gain * np.random.default_rng(0).normal(size=samples)).astype("float32")


@pytest.fixture(scope="module")
def resemblyzer():
    pytest.importorskip("resemblyzer", reason="its weights are the embedder's")
    return ResemblyzerEmbedder()


@pytest.mark.parametrize("seconds", [0.5, 1.6, 2.0, 3.3, 7.0])
@pytest.mark.parametrize("gain", [1.0, 0.001])
def test_resemblyzer_is_its_upstream(resemblyzer, shared_data, seconds, gain):
    upstream = pytest.importorskip("resemblyzer", reason="the reference implementation")
    path = next((shared_data / "sv_test" / "audio").rglob("*.flac"))
    audio = read_audio(path, 16_000, max_seconds=seconds)[0] * gain
    loud = upstream.normalize_volume(audio, -30, increase_only=True)
    wanted = upstream.VoiceEncoder("cpu", verbose=False).embed_utterance(loud)
    with torch.no_grad():
        found = resemblyzer.embed(torch.from_numpy(audio), 16_000).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_resemblyzers_gradient_reaches_the_waveform(resemblyzer):
    audio = torch.tensor(noise(24_000 * 2), requires_grad=True)
    resemblyzer.embed(audio, 24_000)[resemblyzer.embed(audio, 24_000).argmax()].backward()
    assert torch.isfinite(audio.grad).all()
    assert audio.grad.abs().sum() > 0


def test_silence_has_a_finite_gradient(resemblyzer):
    audio = torch.zeros(24_000, requires_grad=True)
    resemblyzer.embed(audio, 24_000).sum().backward()
    assert torch.isfinite(audio.grad).all()


def test_damaged_resemblyzer_weights_are_named(tmp_path):
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="bad.pt"):
        ResemblyzerEmbedder(tmp_path / "bad.pt")


def test_resampling_is_soxrs_within_the_band():
    times = np.arange(24_000) / 24_000
    audio = sum(np.sin(2 * np.pi * hertz * times) for hertz in (200, 1500, 6500)).astype("float32")
    found = resample_torch(torch.from_numpy(audio), 24_000, 16_000).numpy()
    wanted = resample(audio, 24_000, 16_000)
    assert len(found) == len(wanted) == 16_000
    np.testing.assert_allclose(found[300:-300], wanted[300:-300], atol=2e-3)


def test_resampling_lets_nothing_fold_back():
    high = torch.sin(2 * torch.pi * 9000 * torch.arange(24_000, dtype=torch.float64) / 24_000)
    assert resample_torch(high, 24_000, 16_000)[300:-300].abs().max() < 1e-3


@pytest.fixture(scope="module")
def tiny_wavlm(tmp_path_factory):
    """Folders of a random WavLM, without and with an x-vector head."""
    transformers = pytest.importorskip("transformers", reason="WavLM comes from it")
    torch.manual_seed(0)
    config = transformers.WavLMConfig(**TINY)
    folders = {}
    for kind in (transformers.WavLMModel, transformers.WavLMForXVector):
        folders[kind.__name__] = tmp_path_factory.mktemp(kind.__name__)
        kind(config).save_pretrained(folders[kind.__name__])
    return folders


def test_wavlm_is_the_mean_of_its_last_hidden_state(tiny_wavlm):
    import transformers

    folder = tiny_wavlm["WavLMModel"]
    audio = torch.from_numpy(noise(8000))
    upstream = transformers.WavLMModel.from_pretrained(folder).eval()
    with torch.no_grad():
        wanted = upstream(audio[None]).last_hidden_state.mean(dim=1)[0]
        found = WavLMEmbedder(str(folder)).embed(audio, 16_000)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_wavlms_x_vector_head_is_used(tiny_wavlm):
    embedder = WavLMEmbedder(str(tiny_wavlm["WavLMForXVector"]))
    audio = torch.tensor(noise(24_000), requires_grad=True)
    embedding = embedder.embed(audio, 24_000)
    assert embedding.shape == (6,)
    embedding.sum().backward()
    assert audio.grad.abs().sum() > 0


def test_waveforms_are_normalised_where_the_preprocessor_says_so(tiny_wavlm, tmp_path):
    import shutil

    import transformers

    shutil.copytree(tiny_wavlm["WavLMModel"], tmp_path / "wavlm")
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path / "wavlm")
    embedder = WavLMEmbedder(str(tmp_path / "wavlm"))
    audio = torch.from_numpy(noise(8000))
    with torch.no_grad():
        quiet, loud = (embedder.embed(gain * audio, 16_000) for gain in (0.1, 1.0))
    np.testing.assert_allclose(quiet, loud, atol=1e-3)


def test_a_wavlm_without_some_weights_is_refused(tiny_wavlm, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_wavlm["WavLMModel"], tmp_path / "wavlm")
    path = tmp_path / "wavlm" / "model.safetensors"
    state = load_file(path)
    del state["encoder.layers.1.layer_norm.weight"]
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="lacks encoder.layers.1.layer_norm.weight"):
        WavLMEmbedder(str(tmp_path / "wavlm"))


def test_absent_wavlm_weights_are_one_sentence(tmp_path):
    pytest.importorskip("transformers", reason="WavLM comes from it")
    (tmp_path / "empty").mkdir()
    for name in (str(tmp_path / "empty"), "microsoft/wavlm-large-that-nobody-has"):
        with pytest.raises(WeightsError, match="neither on this machine nor to be fetched"):
            WavLMEmbedder(name, local_only=True)


def test_auto_takes_wavlm_where_it_is_and_else_says_who_judges(tiny_wavlm, caplog, tmp_path):
    pytest.importorskip("resemblyzer", reason="its weights are the embedder's")
    here = OptimizerConfig(wavlm_model=str(tiny_wavlm["WavLMModel"]))
    assert open_embedder(here).name.startswith("wavlm")
    with caplog.at_level(logging.INFO):
        assert open_embedder(OptimizerConfig(wavlm_model=str(tmp_path))).name == "resemblyzer"
    assert "Resemblyzer judges" in caplog.text


def test_an_embedder_of_ones_own_can_be_registered(monkeypatch):
    monkeypatch.setattr(embedders, "_MAKERS", dict(embedders._MAKERS))
    with pytest.raises(ConfigError, match="no embedder 'bands'.*resemblyzer"):
        open_embedder(OptimizerConfig(embedder="bands"))
    embedders.register_embedder("bands")(lambda config, device: BandEmbedder())
    assert open_embedder(OptimizerConfig(embedder="bands")).name == "bands"


def test_no_hub_is_asked_for_a_local_folder(tiny_wavlm, monkeypatch):
    monkeypatch.setitem(os.environ, "HF_ENDPOINT", "http://localhost:1")
    assert WavLMEmbedder(str(tiny_wavlm["WavLMModel"])).name.startswith("wavlm")
