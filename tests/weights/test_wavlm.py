"""WavLM's files: what describes it, where they are looked for, and what is refused."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from myxtts.config import ENCODER_NAMES, ModelConfig, XTTSConfig
from myxtts.errors import ConfigError, WeightsError
from myxtts.models.speaker_encoder import RANDOM, PretrainedSpeakerEncoder
from myxtts.training.stages.xtts import complete
from myxtts.verification.verifier import SpeakerVerifier
from myxtts.wavlm_config import WAVLM_NAMES, WavLMConfig
from myxtts.weights import wavlm
from myxtts.weights.conversion import fold_weight_norm
from myxtts.weights.safetensors_file import read_safetensors
from myxtts.weights.sources import HUB, find
from myxtts.weights.speaker_encoders import (
    SOURCES,
    described,
    load_pretrained_speaker_encoder,
    pretrained_speaker_encoder,
    source_of,
)
from tests.encoder_files import shapes, write_wavlm_configuration
from tests.golden.make_wavlm import draw

hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

AUDIO = (0.1 * np.random.default_rng(0).normal(size=(1, 9_000))).astype("float32")
POSITIONAL = "wavlm.encoder.pos_conv_embed.conv."


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "converted"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def weights() -> dict:
    return draw({key: np.empty(shape, "bool") for key, shape in shapes("wavlm").items()})


@pytest.fixture
def folder(tmp_path) -> Path:
    """A WavLM as ``save_pretrained`` leaves it."""
    path = tmp_path / "model"
    path.mkdir()
    write_wavlm_configuration(path)
    save_file(weights(), path / "model.safetensors", metadata={"format": "pt"})
    return path


def test_a_folder_says_its_sizes_and_its_level(folder):
    encoder = pretrained_speaker_encoder("wavlm", folder)
    sizes = encoder.sizes
    assert (sizes.hidden_dim, sizes.heads, sizes.head_dim, sizes.normalise) == (16, 2, 24, True)
    assert encoder.provenance.startswith("local:model.safetensors@sha256:")
    assert encoder.licence.startswith("not known (published: CC BY-SA 3.0")
    embedding = np.asarray(encoder(AUDIO))
    assert embedding.shape == (1, 24)
    np.testing.assert_allclose(np.linalg.norm(embedding), 1, rtol=1e-5)


def test_both_spellings_of_weight_norm_and_both_kinds_of_files_are_one(folder):
    torch = pytest.importorskip("torch", reason="torch writes the other kind of file")
    first = np.asarray(pretrained_speaker_encoder("wavlm", folder)(AUDIO))
    legacy = weights()
    for ours, theirs in (("original0", "weight_g"), ("original1", "weight_v")):
        key = f"{POSITIONAL}parametrizations.weight.{ours}"
        legacy[POSITIONAL + theirs] = legacy.pop(key)
    (folder / "model.safetensors").unlink()
    tensors = {key: torch.from_numpy(value) for key, value in legacy.items()}
    torch.save(tensors, folder / "pytorch_model.bin")
    second = pretrained_speaker_encoder("wavlm", folder)
    assert second.provenance.startswith("local:pytorch_model.bin")
    np.testing.assert_array_equal(second(AUDIO), first)


def test_bfloat16_is_read_as_float32(tmp_path):
    torch = pytest.importorskip("torch", reason="torch writes the file")
    from safetensors.torch import save_file as save_tensors

    values = torch.tensor([[1.5, -2.25], [3e30, 0.0]])
    save_tensors({"a": values.bfloat16(), "b": values.half()}, tmp_path / "x.safetensors")
    read = read_safetensors(tmp_path / "x.safetensors")
    assert read["a"].dtype == "float32"
    np.testing.assert_array_equal(read["a"], values.bfloat16().float().numpy())


@pytest.mark.parametrize("content", [b"", b"# text\n", b"\xff" * 40])
def test_a_file_that_is_none_is_one_sentence(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(str(folder / "model.safetensors"))):
        pretrained_speaker_encoder("wavlm", folder)


def test_a_gain_of_another_axis_is_refused():
    with pytest.raises(WeightsError, match=r"a\.weight_g has shape \(4, 1, 1\), \(1, 1, 3\) is"):
        fold_weight_norm({"a.weight_g": np.ones((4, 1, 1)), "a.weight_v": np.ones((4, 2, 3))}, 2)
    arrays = {"a.weight_g": np.full((1, 1, 3), 2.0), "a.weight_v": np.ones((4, 2, 3))}
    folded = fold_weight_norm(arrays, kept=2)["a.weight"]
    np.testing.assert_allclose(np.linalg.norm(folded, axis=(0, 1)), 2.0)


@pytest.mark.parametrize("key", ["layer_weights", "tdnn.2.kernel.weight", f"{POSITIONAL}bias"])
def test_a_missing_or_unknown_key_or_a_wrong_shape_is_refused(folder, key):
    encoder = PretrainedSpeakerEncoder("wavlm", sizes=described_sizes(folder))
    encoder.build()
    without = {name: value for name, value in weights().items() if name != key}
    with pytest.raises(WeightsError, match=f"missing {key.removeprefix('wavlm.')}"):
        wavlm.load(encoder.encoder, without)
    with pytest.raises(WeightsError, match="not used surprise"):
        wavlm.load(encoder.encoder, weights() | {"wavlm.surprise": np.zeros(2)})
    with pytest.raises(WeightsError):
        wavlm.load(encoder.encoder, weights() | {key: np.zeros((3, 3))})
    with pytest.raises(WeightsError, match="both with and without"):
        wavlm.load(encoder.encoder, weights() | {"masked_spec_embed": np.zeros(2)})


def described_sizes(folder: Path) -> WavLMConfig:
    return wavlm.described(folder / "model.safetensors", WavLMConfig())


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"model_type": "wav2vec2"}, "model_type is 'wav2vec2', wavlm is supp"),
        ("config.json", {"hidden_act": "relu"}, "hidden_act"),
        ("config.json", {"layer_norm_eps": 1e-6}, "layer_norm_eps"),
        ("config.json", {"add_adapter": True}, "add_adapter"),
        ("config.json", {"architectures": ["WavLMForCTC"]}, "architectures"),
        ("config.json", {"architectures": None}, "architectures is None"),
        ("config.json", {"num_attention_heads": 3}, "model.wavlm.heads"),
        ("config.json", {"hidden_size": "wide"}, "hidden_dim"),
        ("config.json", {"feat_extract_norm": "batch"}, "conv_norm"),
        ("config.json", {"conv_dim": [16] * 6}, "conv_kernels"),
        ("preprocessor_config.json", {"sampling_rate": 8_000}, "sampling_rate is 8000, 16000"),
        ("preprocessor_config.json", {"do_normalize": "yes"}, "do_normalize"),
    ],
)
def test_a_description_that_is_not_supported_is_one_sentence(folder, file, changes, message):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(WeightsError, match=message) as caught:
        described_sizes(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[1]", "\udc80"])
def test_a_damaged_description_is_one_sentence(folder, content):
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(WeightsError, match="cannot be read as a configuration"):
        described_sizes(folder)


def test_what_the_user_set_and_the_files_say_otherwise_is_refused(folder):
    with pytest.raises(
        WeightsError, match=r"num_attention_heads is 2, but model\.wavlm\.heads is 4"
    ):
        wavlm.described(folder / "model.safetensors", WavLMConfig(heads=4))
    encoder = PretrainedSpeakerEncoder("wavlm", sizes=WavLMConfig())
    with pytest.raises(WeightsError, match=r"is expected here \(model\.wavlm\.conv_channels\)"):
        load_pretrained_speaker_encoder(encoder, folder)
    assert encoder.provenance == RANDOM


def test_a_missing_description_is_said(folder, caplog):
    (folder / "preprocessor_config.json").unlink()
    assert not described_sizes(folder).normalise
    assert "preprocessor_config.json is not there" in caplog.text
    (folder / "config.json").unlink()
    assert described_sizes(folder) == WavLMConfig()
    assert "config.json is not there" in caplog.text


def test_training_takes_the_sizes_of_the_folder_and_later_those_of_the_run(folder, tmp_path):
    changes = {
        "use_pretrained_speaker_encoder": True,
        "speaker_encoder_type": "wavlm",
        "pretrained_speaker_encoder_path": str(folder),
    }
    config = XTTSConfig().merged(
        {"model": changes, "training": {"output_dir": str(tmp_path / "run")}}
    )
    first = complete(config)
    assert first.model.wavlm == described_sizes(folder)
    (tmp_path / "run").mkdir()
    first.to_yaml(tmp_path / "run" / "config.yaml")
    (folder / "config.json").unlink()
    assert complete(config) == first
    assert complete(XTTSConfig()) == XTTSConfig()


def test_every_name_has_a_repository_of_its_own():
    repositories = {source_of("wavlm", WavLMConfig(name=name)).repository for name in WAVLM_NAMES}
    assert repositories == {f"microsoft/{name}" for name in WAVLM_NAMES}
    large = source_of("wavlm", WavLMConfig(name="wavlm-large"))
    assert large.command == "hf download microsoft/wavlm-large --local-dir wavlm-large"
    assert large.licence == SOURCES["wavlm"].licence
    assert set(WAVLM_NAMES) < set(ENCODER_NAMES)


def cached(tmp_path: Path, repository: str, folder: Path, names: tuple) -> str:
    """Put files of ``folder`` into the hub's cache as its client does; hash of the weights."""
    model = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    snapshot = model / "snapshots" / ("5c" * 20)
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(snapshot.name)
    (model / "blobs").mkdir()
    for name in names:
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        (model / "blobs" / digest).write_bytes(content)
        (snapshot / name).symlink_to(model / "blobs" / digest)
    return digest


ALL = ("config.json", "preprocessor_config.json", "model.safetensors")


@pytest.mark.parametrize(
    ("name", "path", "repository", "licence"),
    [
        ("wavlm", None, "microsoft/wavlm-base-plus-sv", "CC BY-SA 3.0"),
        ("wavlm-base-sv", None, "microsoft/wavlm-base-sv", "CC BY-SA 3.0"),
        ("wavlm", "hf://microsoft/wavlm-base-plus-sv", "microsoft/wavlm-base-plus-sv", "CC BY"),
        ("wavlm", "hf://me/my-wavlm", "me/my-wavlm", "not known (see me/my-wavlm)"),
    ],
)
def test_the_hubs_files_are_found_by_name_and_by_address(
    folder, tmp_path, name, path, repository, licence
):
    digest = cached(tmp_path, repository, folder, ALL)
    encoder = pretrained_speaker_encoder(name, path)
    assert encoder.provenance == f"{repository}@sha256:{digest}"
    assert encoder.licence.startswith(licence)


def test_an_address_that_is_none_is_one_sentence():
    with pytest.raises(WeightsError, match="hf://owner/name is expected"):
        find(SOURCES["wavlm"], f"{HUB}wavlm")
    with pytest.raises(ConfigError, match="wavlm-huge"):
        pretrained_speaker_encoder("wavlm-huge")


def test_a_repository_without_the_likeliest_file_gives_the_other(folder, tmp_path, monkeypatch):
    from huggingface_hub.utils import EntryNotFoundError

    asked = []

    class Absent(EntryNotFoundError):
        def __init__(self):
            Exception.__init__(self, "404 no such file")

    def download(repository, name):
        asked.append((repository, name))
        if name in ("model.safetensors", "preprocessor_config.json"):
            raise Absent
        (tmp_path / name).write_text("content")
        return str(tmp_path / name)

    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url: None)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    source = source_of("wavlm", WavLMConfig(name="wavlm-large"))
    assert find(source) == (tmp_path / "pytorch_model.bin", "microsoft/wavlm-large")
    assert {repository for repository, _ in asked} == {"microsoft/wavlm-large"}
    assert [name for _, name in asked] == [*source.companions, *source.files]


def test_cached_weights_without_their_description_are_completed(folder, tmp_path, monkeypatch):
    cached(tmp_path, "microsoft/wavlm-base-plus-sv", folder, ALL[2:])
    fetched = []

    def download(repository, name):
        fetched.append(name)
        return str(folder / name)

    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url: None)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    assert described(ModelConfig(speaker_encoder_type="wavlm")).wavlm == described_sizes(folder)
    assert fetched == list(ALL)

    def broken(repository, name):
        raise OSError("no network")

    monkeypatch.setattr(hub, "hf_hub_download", broken)
    assert find(SOURCES["wavlm"])[1] == "microsoft/wavlm-base-plus-sv"


def test_a_model_without_a_head_is_no_verifier(folder, tmp_path):
    kept = {key.removeprefix("wavlm."): value for key, value in weights().items()}
    bare = {key: value for key, value in kept.items() if f"wavlm.{key}" in weights()}
    save_file(bare, folder / "model.safetensors")
    write_wavlm_configuration(folder, architectures=["WavLMModel"], use_weighted_layer_sum=False)
    assert pretrained_speaker_encoder("wavlm-large", folder).embedding_dim == 16
    with pytest.raises(ConfigError, match="wavlm-large has no speaker head"):
        SpeakerVerifier.from_pretrained("wavlm-large", folder)


def test_a_verifier_tells_clips_apart(folder):
    verifier = SpeakerVerifier.from_pretrained("wavlm", folder)
    clips = [AUDIO[0], AUDIO[0], AUDIO[0, ::-1].copy()]
    matrix = verifier.similarity_matrix(clips)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-5)
    assert verifier.provenance.startswith("local:model.safetensors@sha256:")
