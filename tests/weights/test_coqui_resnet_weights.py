"""Coqui's encoder out of XTTS checkpoints and alone; other files and settings are refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.upstream.drawn import draw_weights
from myxtts.config import CoquiEncoderConfig
from myxtts.errors import WeightsError
from myxtts.models.speaker_encoder import RANDOM, PretrainedSpeakerEncoder
from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder
from tests.golden.cases import RESNET_SIZES

torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "resnet.npz"
PREFIX = "hifigan_decoder.speaker_encoder."
SIZES = CoquiEncoderConfig(**RESNET_SIZES)
AUDIO = (0.1 * np.random.default_rng(0).normal(size=(1, 8_001))).astype("float32")


def weights() -> dict:
    with np.load(GOLDEN) as archive:
        shapes = {key: tuple(shape) for key, shape in json.loads(str(archive["shapes"])).items()}
    arrays = draw_weights(shapes)
    return {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}


def checkpoint(prefix: str = PREFIX, **others) -> dict:
    """What an XTTS checkpoint holds, with a few weights of its other parts."""
    model = {prefix + key: value for key, value in weights().items()}
    model[f"{prefix}torch_spec.0.filter"] = torch.zeros(1, 1, 2)
    model["gpt.text_embedding.weight"] = torch.zeros(4, 3)
    model["hifigan_decoder.waveform_decoder.conv_pre.bias"] = torch.zeros(4)
    return {"model": model, "epoch": 3, **others}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def loaded(path) -> PretrainedSpeakerEncoder:
    encoder = PretrainedSpeakerEncoder("coqui", sizes=SIZES)
    load_pretrained_speaker_encoder(encoder, path)
    return encoder


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> np.ndarray:
    """The embedding by the encoder published alone."""
    folder = tmp_path_factory.mktemp("alone")
    torch.save({"model": weights()}, folder / "model_se.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYXTTS_CACHE", str(folder / "cache"))
        return np.asarray(loaded(folder / "model_se.pth")(AUDIO))


@pytest.mark.parametrize("prefix", [PREFIX, f"xtts.{PREFIX}"], ids=["published", "trainer"])
def test_the_encoder_is_taken_out_of_an_xtts_checkpoint(tmp_path, expected, prefix):
    torch.save(checkpoint(prefix), tmp_path / "model.pth")
    encoder = loaded(tmp_path)
    assert encoder.provenance.startswith("local:model.pth@sha256:")
    np.testing.assert_array_equal(encoder(AUDIO), expected)


@pytest.mark.parametrize("name", ["model_se.pth", "model_se.pth.tar"])
def test_a_standalone_encoder_is_taken(tmp_path, expected, name):
    torch.save({"model": weights(), "step": 7}, tmp_path / name)
    np.testing.assert_array_equal(loaded(tmp_path)(AUDIO), expected)


def test_the_cache_of_a_whole_checkpoint_holds_the_encoder_only(tmp_path, cache):
    torch.save(checkpoint(), tmp_path / "model.pth")
    loaded(tmp_path)
    manifest = json.loads(next(cache.glob("*.json")).read_text())
    assert "conv1.weight" in manifest["keys"]
    assert not any("gpt" in key or "waveform" in key for key in manifest["keys"])
    assert "Coqui Public Model License" in manifest["licence"]


LOAD = """
import sys
from myxtts.config import CoquiEncoderConfig
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder
encoder = PretrainedSpeakerEncoder("coqui", sizes=CoquiEncoderConfig(24, (2, 1, 1, 1), {channels}))
load_pretrained_speaker_encoder(encoder, sys.argv[1])
loaded = [name for name in sys.modules if name.split(".")[0] in ("TTS", "coqpit", "trainer")]
assert not loaded, loaded
print(encoder.provenance)
"""


def test_a_pickled_configuration_of_coqui_is_read_without_its_code(tmp_path):
    configs = pytest.importorskip(
        "TTS.tts.configs.xtts_config", reason="coqui-tts is not installed (make reference)"
    )
    torch.save(checkpoint(config=configs.XttsConfig()), tmp_path / "model.pth")
    script = LOAD.format(channels=RESNET_SIZES["channels"])
    command = [sys.executable, "-c", script, str(tmp_path / "model.pth")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.startswith("local:model.pth@sha256:")


class Stranger:
    """A class that no checkpoint should need, and that would notice being made."""

    made = 0

    def __new__(cls):
        Stranger.made += 1
        return object.__new__(cls)


def test_any_other_pickled_class_is_read_past_and_never_made(tmp_path):
    torch.save(checkpoint(config=Stranger()), tmp_path / "model.pth")
    before = Stranger.made
    assert loaded(tmp_path).provenance.startswith("local:model.pth@sha256:")
    assert Stranger.made == before


@pytest.mark.parametrize("name", ["TTS.tts.models.xtts.Xtts", "TTS.config.load_config"])
def test_other_names_of_coqui_are_read_past_too(tmp_path, name, monkeypatch):
    module, _, title = name.rpartition(".")
    stand_in = type(title, (), {"__module__": module, "__setstate__": pytest.fail})
    monkeypatch.setitem(sys.modules, module, type(sys)(module))
    monkeypatch.setattr(sys.modules[module], title, stand_in, raising=False)
    item = stand_in()
    item.noticed = True
    torch.save(checkpoint(config=item), tmp_path / "model.pth")
    assert loaded(tmp_path).provenance.startswith("local:model.pth@sha256:")


def test_a_checkpoint_without_the_encoder_is_refused_with_the_missing_keys(tmp_path):
    torch.save({"model": {"gpt.wte.weight": torch.zeros(3)}}, tmp_path / "model.pth")
    encoder = PretrainedSpeakerEncoder("coqui", sizes=SIZES)
    with pytest.raises(WeightsError, match=r"missing conv1\.weight.*not used gpt\.wte\.weight"):
        load_pretrained_speaker_encoder(encoder, tmp_path)
    assert encoder.provenance == RANDOM


def test_a_checkpoint_of_another_size_is_refused(tmp_path):
    torch.save(checkpoint(), tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="not used|shape|missing"):
        load_pretrained_speaker_encoder(PretrainedSpeakerEncoder("coqui"), tmp_path)


def test_a_file_without_the_models_section_is_refused(tmp_path):
    torch.save(weights(), tmp_path / "model_se.pth")
    with pytest.raises(WeightsError, match="has no 'model'"):
        loaded(tmp_path)


SETTINGS = {
    "audio": {
        "fft_size": 512,
        "win_length": 400,
        "hop_length": 160,
        "sample_rate": 16_000,
        "preemphasis": 0.97,
        "num_mels": 64,
        "mel_fmin": 0.0,
    },
    "model_params": {
        "model_name": "resnet",
        "input_dim": 64,
        "use_torch_spec": True,
        "log_input": True,
        "proj_dim": RESNET_SIZES["embedding_dim"],
    },
    "loss": "softmaxproto",
}


def write(folder: Path, settings: object) -> Path:
    torch.save({"model": weights()}, folder / "model_se.pth")
    text = settings if isinstance(settings, str) else json.dumps(settings)
    (folder / "config_se.json").write_text(text)
    return folder


def test_the_published_settings_are_accepted(tmp_path, expected):
    np.testing.assert_array_equal(loaded(write(tmp_path, SETTINGS))(AUDIO), expected)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("audio", "sample_rate", 22_050),
        ("audio", "num_mels", 80),
        ("audio", "fft_size", 1024),
        ("audio", "win_length", 512),
        ("audio", "hop_length", 256),
        ("audio", "preemphasis", 0.0),
        ("model_params", "model_name", "lstm"),
        ("model_params", "proj_dim", 256),
        ("model_params", "log_input", False),
        ("model_params", "use_torch_spec", False),
        ("model_params", "input_dim", 40),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, section, name, value):
    settings = json.loads(json.dumps(SETTINGS))
    settings[section][name] = value
    with pytest.raises(WeightsError, match=rf"config_se\.json: {name} is {value}"):
        loaded(write(tmp_path, settings))


@pytest.mark.parametrize("name", ["log_input", "use_torch_spec"])
def test_settings_left_out_are_the_upstreams_own(tmp_path, name):
    settings = json.loads(json.dumps(SETTINGS))
    del settings["model_params"][name]
    with pytest.raises(WeightsError, match=rf"{name} is False"):
        loaded(write(tmp_path, settings))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"audio": 3, "model_params": {}}', "null"])
def test_damaged_settings_are_named(tmp_path, text):
    with pytest.raises(WeightsError, match=r"config_se\.json cannot be read"):
        loaded(write(tmp_path, text))
