"""RTVC's speaker encoder: its network, its loss with gradients, its files both ways."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.audio.frontends import RESEMBLYZER, MelSpec
from myxtts.errors import ConfigError, WeightsError
from myxtts.models.resemblyzer import RTVC_STEP, ResemblyzerEncoder, num_partials
from myxtts.presets.variables import named
from myxtts.speaker_losses import SimilarityLoss
from myxtts.verification.batch_eer import similarity_eer
from myxtts.weights.rtvc_encoder import (
    LOSS,
    EncoderFile,
    keys,
    load_encoder,
    moments_to_keras,
    moments_to_torch,
    open_encoder,
    read_encoder,
    to_torch,
    values_of,
    write_encoder,
)

SMALL = MelSpec(16_000, n_fft=400, win_length=400, hop_length=160, n_mels=12, compression=None)


@pytest.fixture(scope="module")
def small(sv2tts_fixtures) -> dict:
    return dict(np.load(sv2tts_fixtures / "encoder_small.npz"))


@pytest.fixture(scope="module")
def published() -> Path:
    found = importlib.util.find_spec("resemblyzer")
    if found is None:
        pytest.skip("the published encoder comes with resemblyzer, which is not installed")
    return Path(found.submodule_search_locations[0]) / "pretrained.pt"


def small_encoder(values: dict, prefix: str = "w/") -> ResemblyzerEncoder:
    encoder = ResemblyzerEncoder(spec=SMALL, hidden_dim=16, embedding_dim=10, epsilon=1e-5)
    encoder.build()
    load_encoder(encoder, EncoderFile(1, {key: values[prefix + key] for key in keys()}))
    return encoder


def relative(ours, theirs) -> float:
    return float(np.abs(np.asarray(ours) - theirs).max() / max(np.abs(theirs).max(), 1e-12))


def test_forward_and_loss(small):
    embeddings = small_encoder(small).embed_partials(small["in/mels"])
    assert relative(embeddings, small["out/embeds"]) < 1e-5
    loss = SimilarityLoss(5)
    loss.build()
    similarities = np.asarray(loss.similarities(embeddings))
    assert relative(similarities, small["out/similarity_matrix"]) < 1e-5
    assert float(loss(None, embeddings)) == pytest.approx(float(small["out/loss"]), rel=1e-5)
    assert similarity_eer(similarities) == pytest.approx(float(small["out/eer"]), abs=1e-6)


@pytest.mark.parametrize(("prefix", "share"), [("grad_raw/", 1.0), ("grad_after_ops/", 0.01)])
def test_gradients(small, prefix, share):
    """Of the two biases each has the gradient of Keras's one, and both count in the norm."""
    encoder, loss = small_encoder(small), SimilarityLoss(5, scale_gradient=share)
    loss.build()
    variables = encoder.trainable_variables + loss.trainable_variables
    with tf.GradientTape() as tape:
        value = loss(None, encoder.embed_partials(small["in/mels"]))
    gradients = [np.asarray(item) for item in tape.gradient(value, [v.value for v in variables])]
    ours = dict(zip([id(v) for v in variables], gradients, strict=True))
    by_path = {path: ours[id(v)] for path, v in named(encoder.weights, encoder.name).items()}
    found = moments_to_torch(by_path)
    found |= {f"similarity_{v.name}": ours[id(v)] for v in loss.trainable_variables}
    norm = np.sqrt(sum(np.sum(np.square(item)) for item in found.values()))
    factor = 1.0 if share == 1 else min(1.0, 3.0 / (norm + 1e-6))
    for key, gradient in found.items():
        wanted = small[prefix + key]
        assert np.abs(gradient * factor - wanted).max() < 1e-4 * np.abs(wanted).max() + 1e-7, key


@pytest.mark.parametrize("case", "012")
def test_ge2e(sv2tts_fixtures, case):
    values = dict(np.load(sv2tts_fixtures / "ge2e.npz"))
    embeddings = values[f"{case}/in/embeds"]
    weight, bias = values[f"{case}/in/weight_bias"]
    loss = SimilarityLoss(embeddings.shape[1], float(weight), float(bias), scale_gradient=1.0)
    loss.build()
    flat = tf.constant(embeddings.reshape(-1, embeddings.shape[-1]))
    with tf.GradientTape() as tape:
        tape.watch(flat)
        value = loss(None, flat)
    own = [flat, loss.similarity_weight.value, loss.similarity_bias.value]
    slope, of_weight, of_bias = tape.gradient(value, own)
    similarities = np.asarray(loss.similarities(flat))
    assert relative(similarities, values[f"{case}/out/similarity_matrix"]) < 1e-5
    assert float(value) == pytest.approx(float(values[f"{case}/out/loss"]), rel=1e-4, abs=1e-5)
    assert similarity_eer(similarities) == pytest.approx(float(values[f"{case}/out/eer"]), abs=1e-6)
    wanted = values[f"{case}/out/grad_embeds"]
    ours = np.asarray(slope).reshape(wanted.shape)
    assert np.abs(ours - wanted).max() < 1e-4 * np.abs(wanted).max() + 2e-6
    assert np.allclose(of_weight, values[f"{case}/out/grad_weight"], rtol=1e-4, atol=1e-6)
    assert np.allclose(of_bias, values[f"{case}/out/grad_bias"], atol=1e-6)


@pytest.mark.parametrize("case", ["sim0", "sim1"])
def test_eer_of_similarities(sv2tts_fixtures, case):
    values = dict(np.load(sv2tts_fixtures / "ge2e.npz"))
    eer = similarity_eer(values[f"{case}/in/similarity_matrix"])
    assert eer == pytest.approx(float(values[f"{case}/out/eer"]), abs=1e-5)


def test_eer_of_a_twin():
    """Two speakers: all right, all wrong."""
    right = np.array([[[1.0, 0.0]] * 3, [[0.0, 1.0]] * 3])
    assert similarity_eer(right) == 0.0 and similarity_eer(-right) == 1.0
    assert similarity_eer(np.zeros((2, 3, 2))) == 0.5


def test_one_utterance_is_no_speaker():
    with pytest.raises(ConfigError, match="two utterances"):
        SimilarityLoss(1)


def test_full_size(sv2tts_fixtures):
    import json

    shapes = json.loads((sv2tts_fixtures / "state_dict_keys.json").read_text())
    values = dict(np.load(sv2tts_fixtures / "full_size_seeded.npz"))
    listed = shapes.get("encoder") or next(v for k, v in shapes.items() if "encoder" in k)
    listed = {item[0]: item[1] for item in listed} if isinstance(listed, list) else listed
    arrays = {}
    for place, key in enumerate(sorted(listed)):
        shape = listed[key][0] if isinstance(listed[key][0], list) else listed[key]
        noise = np.random.RandomState(1000 * (700 + int(values["seed"])) + place)
        drawn = noise.standard_normal(shape)
        scale = 0.1 if len(shape) == 1 else 1.2 / np.sqrt(np.prod(shape[1:]))
        arrays[key] = (drawn * scale).astype("float32")
    encoder = ResemblyzerEncoder(epsilon=1e-5)
    encoder.build()
    load_encoder(encoder, EncoderFile(1, arrays))
    mels = np.abs(np.random.RandomState(1).standard_normal((2, 160, 40))).astype("float32")
    wanted = next(values[key] for key in values if key.startswith("encoder/out"))
    assert relative(encoder.embed_partials(mels), wanted) < 1e-4


def test_partials_every_80_frames(sv2tts_fixtures):
    values = dict(np.load(sv2tts_fixtures / "encoder_audio.npz"))
    for samples, starts in zip(values["in/lengths"], values["out/partial_starts"], strict=True):
        assert int(num_partials(int(samples), RTVC_STEP)) == (starts >= 0).sum()


def test_the_published_encoder(sv2tts_fixtures, published):
    values = dict(np.load(sv2tts_fixtures / "encoder_audio.npz"))
    stored = read_encoder(published)
    assert stored.step == 1_564_501 and len(stored.means) == len(keys())
    assert stored.arrays["similarity_weight"][0] == pytest.approx(70.893, abs=1e-3)
    encoder = ResemblyzerEncoder(partial_step=RTVC_STEP, epsilon=1e-5)
    encoder.build()
    load_encoder(encoder, stored)
    frames = values["out/frames"]
    rows = [frames[start : start + 160] for start in values["out/partial_starts_frames"]
            if start + 160 <= len(frames)]  # fmt: skip
    partials = np.asarray(encoder.embed_partials(np.stack(rows)))
    assert relative(partials, values["out/published_partials"][: len(rows)]) < 1e-4


@pytest.mark.parametrize("legacy", [False, True])
def test_files_both_ways(tmp_path, small, legacy):
    torch = pytest.importorskip("torch", reason="RTVC's files are torch's")
    rng = np.random.default_rng(2)
    arrays = {key: small[f"w/{key}"] for key in keys()}
    moments = [
        {key: rng.random(value.shape, "float32") for key, value in arrays.items()} for _ in "ab"
    ]
    path = tmp_path / "encoder.pt"
    write_encoder(path, EncoderFile(42, arrays, *moments, steps_made=41))
    content = torch.load(path, weights_only=True)
    assert list(content) == ["step", "model_state", "optimizer_state"] and content["step"] == 42
    assert list(content["model_state"]) == keys()
    if legacy:
        torch.save(content, path, _use_new_zipfile_serialization=False)
    again = read_encoder(path)
    assert again.step == 42 and again.steps_made == 41
    for key in keys():
        np.testing.assert_array_equal(again.arrays[key], arrays[key])
        np.testing.assert_array_equal(again.means[key], moments[0][key])
        np.testing.assert_array_equal(again.squares[key], moments[1][key])


@pytest.mark.parametrize(("layers", "hidden", "embedding", "mels"), [(2, 12, 10, 16), (4, 7, 9, 5)])
def test_a_file_of_other_sizes(tmp_path, layers, hidden, embedding, mels):
    torch = pytest.importorskip("torch", reason="RTVC's files are torch's")
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(mels, hidden, layers, batch_first=True)
    linear = torch.nn.Linear(hidden, embedding)
    arrays = {f"lstm.{key}": value.numpy() for key, value in lstm.state_dict().items()}
    arrays |= {f"linear.{key}": value.numpy() for key, value in linear.state_dict().items()}
    arrays |= {key: np.array([3.0], "float32") for key in LOSS}
    path = tmp_path / "encoder.pt"
    write_encoder(path, EncoderFile(7, arrays))
    assert list(read_encoder(path).arrays) == keys(layers)
    encoder = open_encoder(path)
    frames = np.random.default_rng(0).random((3, 160, mels), "float32")
    with torch.no_grad():
        theirs = torch.relu(linear(lstm(torch.tensor(frames))[1][0][-1]))
        theirs = (theirs / (theirs.norm(dim=1, keepdim=True) + 1e-5)).numpy()
    assert np.abs(theirs).max() > 0.1
    np.testing.assert_allclose(encoder.embed_partials(frames), theirs, atol=1e-5)
    again = ResemblyzerEncoder.from_config(encoder.get_config())
    again.build()
    assert [item.shape for item in again.weights] == [item.shape for item in encoder.weights]
    wanted = rf"encoder.pt is a speaker encoder with layers {layers}; 3 is wanted"
    with pytest.raises(WeightsError, match=wanted):
        load_encoder(ResemblyzerEncoder(), read_encoder(path), path)


def test_through_keras_and_back(small):
    arrays = {key: small[f"w/{key}"] for key in keys()}
    encoder = small_encoder(small)
    back = to_torch(values_of(encoder), arrays)
    for key in set(keys()) - set(LOSS):
        np.testing.assert_array_equal(back[key], arrays[key])
    halves = to_torch(values_of(encoder))
    for layer in range(3):
        pair = [f"lstm.bias_{part}_l{layer}" for part in ("ih", "hh")]
        np.testing.assert_allclose(halves[pair[0]] * 2, arrays[pair[0]] + arrays[pair[1]])
    moments = {key: array for key, array in arrays.items() if "bias_hh" not in key}
    round_trip = moments_to_torch(moments_to_keras(arrays))
    assert all(np.array_equal(round_trip[key], moments[key]) for key in moments if key not in LOSS)


def test_other_files_are_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="RTVC's files are torch's")
    path = tmp_path / "synthesizer.pt"
    torch.save({"model_state": {"encoder.embedding.weight": torch.zeros(2, 2)}}, path)
    with pytest.raises(WeightsError, match="no speaker encoder of .*: it holds a synthesizer"):
        read_encoder(path)
    torch.save({"model_state": {"linear.weight": torch.zeros(2, 2)}}, path)
    with pytest.raises(WeightsError, match="no speaker encoder of Real"):
        read_encoder(path)


def test_the_step_of_a_twin():
    assert RESEMBLYZER.n_mels == 40 and keras.config.floatx() == "float32"
    assert int(num_partials(16_000 * 30)) == 38 and int(num_partials(16_000 * 30, RTVC_STEP)) == 37
