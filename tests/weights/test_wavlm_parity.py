"""WavLM beside transformers: golden files, shared fixtures and live, with twins that must fail."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from myxtts.errors import WeightsError
from myxtts.models import wavlm as models
from myxtts.models import wavlm_blocks
from myxtts.models.wavlm import WavLMEncoder
from myxtts.wavlm_config import WavLMConfig
from myxtts.weights import wavlm
from tests.encoder_files import write_wavlm_configuration
from tests.golden.make_wavlm import BASE, VARIANTS, draw
from tests.speaker_upstreams import relative_error, require

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "wavlm.npz"
FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "wavlm_fixtures"
TOLERANCE = 1e-4


def make(folder: Path, arrays: dict, **values) -> WavLMEncoder:
    """The encoder that a ``config.json`` of these values describes, with its weights."""
    write_wavlm_configuration(folder, normalise=False, **values)
    encoder = WavLMEncoder(wavlm.described(folder / "model.safetensors", WavLMConfig()))
    encoder.build()
    wavlm.load(encoder, arrays)
    return encoder


def outputs(encoder: WavLMEncoder, audio, lengths=None) -> dict[str, np.ndarray]:
    """Everything under the names of the golden file, and the mask of the frames."""
    features, valid = encoder.features(audio, lengths)
    blocks = encoder.block_states(features, valid)
    states = encoder.hidden_states(features, valid)
    found = {f"hidden_{number}": state for number, state in enumerate(blocks)}
    found |= {"features": features, "last": states[-1], "valid": valid}
    # As transformers 5 sums; the encoder itself sums as the versions before did.
    summed = blocks if encoder.sizes.layer_sum else states
    found |= {"embeddings": encoder.pooled(summed, valid), "own": encoder(audio, lengths)}
    return {name: np.asarray(value) for name, value in found.items()}


def golden(name: str) -> tuple[np.ndarray, dict, dict]:
    """Audio, weights and outputs of a variant."""
    with np.load(GOLDEN) as archive:
        theirs = {
            key.partition("/")[2]: archive[key]
            for key in archive.files
            if key.startswith(f"{name}/")
        }
        shapes = json.loads(str(theirs.pop("shapes")))
        arrays = draw({key: np.empty(shape, "bool") for key, shape in shapes.items()})
        return archive["audio"], arrays, theirs


def compare(ours: dict, theirs: dict) -> None:
    for name, expected in theirs.items():
        assert ours[name].shape == expected.shape, name
        assert relative_error(ours[name], expected) <= TOLERANCE, name


@pytest.mark.parametrize("name", VARIANTS)
def test_every_intermediate_equals_the_golden_one(name, tmp_path):
    audio, arrays, theirs = golden(name)
    ours = outputs(make(tmp_path, arrays, **VARIANTS[name]), audio)
    compare(ours, theirs)
    assert (relative_error(ours["own"], theirs["embeddings"]) <= TOLERANCE) == (name == "base")


@pytest.fixture(params=["base", "large", "base_last"])
def fixture(request, tmp_path):
    """Encoder and content of a shared file with weights and rows of a padded batch."""
    path = FIXTURES / f"{request.param}.npz"
    if not path.is_file():
        pytest.skip("the shared fixtures (../shared/wavlm_fixtures) are not beside the checkout")
    content = dict(np.load(path))
    prefix = "weights/"
    arrays = {key.removeprefix(prefix): content[key] for key in content if key.startswith(prefix)}
    return make(tmp_path, arrays, **json.loads(str(content["config"]))), content


def test_rows_of_a_padded_batch_equal_the_upstreams_singles(fixture):
    encoder, content = fixture
    ours = outputs(encoder, content["input/audio"], content["input/lengths"])
    for row, valid in enumerate(ours.pop("valid")):
        prefix = f"alone_{row}/"
        theirs = {key.removeprefix(prefix): content[key] for key in content if prefix in key}
        theirs = {"features": theirs.pop("extract_features"), **theirs}
        theirs |= {"last": theirs.pop("last_hidden_state"), "own": theirs.pop("embeddings_4x")}
        found = {
            name: value[row : row + 1] if value.ndim == 2 else value[row : row + 1, valid]
            for name, value in ours.items()
        }
        # The logits are beyond the embedding, and what has no norm yet is in `features`.
        compare(found, {name: theirs[name] for name in found})


def test_a_row_in_a_batch_is_the_row_alone(fixture):
    encoder, content = fixture
    audio, lengths = content["input/audio"].copy(), content["input/lengths"]
    for row, length in zip(audio, lengths, strict=True):
        row[length:] = 7.0
    together = np.asarray(encoder(audio, lengths))
    for row, length in enumerate(lengths):
        alone = np.asarray(encoder(audio[row : row + 1, :length]))[0]
        assert relative_error(together[row], alone) <= 1e-5
        assert np.abs(together[row] - alone).max() <= 1e-5


def test_buckets_are_the_upstreams(fixture):
    encoder, content = fixture
    ours = np.asarray(encoder.positions.bucket(content["buckets/relative"]))
    np.testing.assert_array_equal(ours, content["buckets/index"])


def wide_time_norm(self, inputs, lengths):
    """torch's group norm, which takes the padding in."""
    return TIME_NORM(self, inputs, lengths * 0 + inputs.shape[1])


def long_head(self, inputs, valid):
    """The upstream's head, which pools six frames more of a padded row."""
    more = keras.ops.concatenate([valid[:, :1]] * 6 + [valid[:, :-6]], axis=1)
    return HEAD(self, inputs, more)


HEAD = models.XVectorHead.call
TIME_NORM = wavlm_blocks.TimeNorm.call
GATES = wavlm_blocks.GatedAttention._gates
TWINS = {
    "padding in the group norm": (wavlm_blocks.TimeNorm, "call", wide_time_norm),
    "frames of the head that do not count dilation": (models.XVectorHead, "call", long_head),
    "keys of the padding": (models, "key_bias", lambda valid: keras.ops.zeros((1, 1, 1, 1))),
    "the tanh GELU": (
        wavlm_blocks.ops,
        "gelu",
        lambda x, approximate: 0.5 * x * (1 + keras.ops.tanh(0.79788456 * (x + 0.044715 * x**3))),
    ),
    "no gate": (wavlm_blocks.GatedAttention, "_gates", lambda self, x: GATES(self, x) * 0 + 1),
}


@pytest.mark.parametrize("twin", TWINS)
def test_a_wrong_twin_would_be_noticed(twin, tmp_path, monkeypatch):
    audio, arrays, _ = golden("base")
    encoder = make(tmp_path, arrays, **BASE)
    batch = np.concatenate([audio, np.zeros((1, 5_000), "float32")], axis=1)
    lengths = np.array([audio.shape[1]], "int32")
    right = np.asarray(encoder(batch, lengths))
    assert relative_error(encoder(audio), right) <= 1e-5
    monkeypatch.setattr(*TWINS[twin])
    assert relative_error(encoder(batch, lengths), right) > TOLERANCE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pre_norm", True),
        ("position_distance", 30),
        ("conv_strides", (5, 2, 2, 2, 2, 2, 1)),
        ("head_dilations", (1, 2, 2, 1, 1)),
        ("heads", 1),
    ],
)
def test_what_no_shape_shows_would_be_noticed(name, value, tmp_path):
    audio, arrays, theirs = golden("base")
    sizes = make(tmp_path, arrays, **BASE).sizes
    other = WavLMEncoder(dataclasses.replace(sizes, **{name: value}))
    other.build()
    if name == "heads":
        with pytest.raises(WeightsError, match="shape"):
            wavlm.load(other, arrays)
        return
    wavlm.load(other, arrays)
    assert relative_error(other(audio), theirs["embeddings"]) > 10 * TOLERANCE


@pytest.mark.parametrize(
    ("suffix", "axes"),
    [("q_proj.weight", (1, 0)), ("weight.original1", None), ("tdnn.1.kernel.weight", None)],
)
def test_a_turned_kernel_would_be_noticed(suffix, axes, tmp_path):
    audio, arrays, theirs = golden("base")
    key = next(key for key in sorted(arrays) if key.endswith(suffix))
    value = arrays[key]
    # Each keeps its shape: a transpose, the taps back to front, taps and channels exchanged.
    turned = {
        "q_proj.weight": lambda: value.T,
        "weight.original1": lambda: value[..., ::-1],
        "tdnn.1.kernel.weight": lambda: value.reshape(16, 16, 3).swapaxes(1, 2).reshape(16, 48),
    }[suffix]()
    encoder = make(tmp_path, arrays | {key: np.ascontiguousarray(turned)}, **BASE)
    assert relative_error(encoder(audio), theirs["embeddings"]) > 10 * TOLERANCE


@pytest.fixture
def upstream():
    require("torch", "transformers")


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("samples", [6_001, 16_123, 40_001])
def test_every_intermediate_equals_the_installed_transformers(upstream, name, samples, tmp_path):
    from tests.golden import make_wavlm

    module = make_wavlm.build(VARIANTS[name], seed=7)
    audio = (0.1 * np.random.default_rng(samples).normal(size=(2, samples))).astype("float32")
    ours = outputs(make(tmp_path, make_wavlm.state(module), **VARIANTS[name]), audio)
    theirs = make_wavlm.run(module, audio)
    import transformers

    if name == "large" and int(transformers.__version__.split(".")[0]) < 5:
        theirs.pop("hidden_2")
        ours["embeddings"] = ours["own"]
    compare(ours, theirs)


def test_a_headless_model_equals_the_installed_transformers(upstream, tmp_path):
    from tests.golden import make_wavlm

    module = make_wavlm.build(BASE, with_head=False)
    audio = (0.1 * np.random.default_rng(3).normal(size=(2, 9_001))).astype("float32")
    values = {"architectures": ["WavLMModel"], "use_weighted_layer_sum": False}
    encoder = make(tmp_path, make_wavlm.state(module), **BASE | values)
    theirs = make_wavlm.run(module, audio)
    compare(outputs(encoder, audio), theirs | {"own": theirs["last"].mean(axis=1)})


@pytest.mark.parametrize("normalise", [True, False])
def test_each_clip_is_prepared_as_the_upstreams_feature_extractor_does(
    upstream, normalise, tmp_path
):
    import torch
    from transformers import Wav2Vec2FeatureExtractor

    from tests.golden import make_wavlm

    extractor = Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=True)
    extractor.save_pretrained(tmp_path)
    # Of clips without an offset the norms behind the convolutions would hide it.
    module = make_wavlm.build(VARIANTS["large"] | {"use_weighted_layer_sum": False})
    module.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    encoder = WavLMEncoder(wavlm.described(file, WavLMConfig()))
    encoder.build()
    wavlm.load(encoder, wavlm.read(file))
    assert encoder.sizes.normalise == normalise
    rng = np.random.default_rng(5)
    levels = ((0.01, 9_000, 0.1), (0.1, 16_000, 0.0), (1.0, 12_000, -0.5))
    clips = [(bias + level * rng.normal(size=n)).astype("float32") for level, n, bias in levels]
    batch = np.zeros((3, 16_000), "float32")
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    lengths = np.array([len(clip) for clip in clips], "int32")
    ours = np.asarray(encoder(batch, lengths))
    encoder.sizes = dataclasses.replace(encoder.sizes, normalise=not normalise)
    assert relative_error(encoder(batch, lengths), ours) > 10 * TOLERANCE
    for row, clip in zip(ours, clips, strict=True):
        heard = extractor(clip, sampling_rate=16_000, return_tensors="pt").input_values
        with torch.no_grad():
            theirs = module(heard).embeddings[0].numpy()
        assert relative_error(row, theirs) <= TOLERANCE
