"""The switch over pretrained encoders: same embeddings under every policy, frozen or not."""

import json

import keras
import numpy as np
import pytest
import yaml

from myxtts.config import CoquiEncoderConfig, ECAPAConfig
from myxtts.errors import CheckpointError, ConfigError, MyXTTSError, WeightsError
from myxtts.models.audio_encoder import AudioEncoder
from myxtts.models.speaker_encoder import RANDOM, PretrainedSpeakerEncoder

AUDIO = (0.1 * np.random.default_rng(0).normal(size=(2, 30_000))).astype("float32")


@pytest.fixture
def half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def make_encoder(weights: list | None = None, freeze: bool = True) -> PretrainedSpeakerEncoder:
    """An encoder with the given weights that counts as loaded."""
    encoder = PretrainedSpeakerEncoder("resemblyzer", freeze)
    encoder.build()
    encoder.provenance = "weights of this test"
    for variable, value in zip(encoder.weights, weights or encoder.weights, strict=True):
        variable.assign(value)
    return encoder


def cosine(one, other) -> np.ndarray:
    return np.sum(np.asarray(one, "float32") * np.asarray(other, "float32"), axis=-1)


@pytest.fixture
def reference():
    """Weights that make embeddings differ, and the embeddings in float32."""
    encoder = make_encoder()
    rng = np.random.default_rng(1)
    for variable in encoder.weights:
        variable.assign(variable + 0.2 * rng.normal(size=variable.shape))
    return [np.array(variable) for variable in encoder.weights], np.asarray(encoder(AUDIO))


def test_half_precision_does_not_change_embeddings(reference, half_precision):
    weights, expected = reference
    embedding = make_encoder(weights)(AUDIO)
    assert keras.backend.standardize_dtype(embedding.dtype) == "float32"
    assert np.all(cosine(embedding, expected) >= 0.999999)


def test_half_precision_does_not_round_the_audio(micro_config, half_precision):
    changes = {
        "use_pretrained_speaker_encoder": True,
        "speaker_encoder_type": "resemblyzer",
        "freeze_speaker_encoder": False,
    }
    encoder = AudioEncoder(micro_config.merged({"model": changes}).model)
    encoder.build()
    heard = {}
    encoder._embedding = lambda features, training: (
        heard.update(features) or np.ones((2, 256), "float32")
    )
    encoder.encode(AUDIO)
    assert keras.backend.standardize_dtype(heard["audio_16k"].dtype) == "float32"


def test_frozen_encoders_pass_no_gradient():
    tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow")
    for freeze in (True, False):
        encoder = make_encoder(freeze=freeze)
        audio = tf.constant(AUDIO)
        with tf.GradientTape() as tape:
            tape.watch(audio)
            total = tf.reduce_sum(encoder(audio, training=True)[:, 0])
        assert (tape.gradient(total, audio) is None) == freeze
        assert (encoder.trainable_variables == []) == freeze


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [("resemblyzer", None), ("ecapa_tdnn", ECAPAConfig(embedding_dim=7)), ("coqui", None)],
)
def test_configuration_makes_the_same_encoder(kind, sizes):
    encoder = PretrainedSpeakerEncoder(kind, freeze=False, sizes=sizes)
    again = PretrainedSpeakerEncoder.from_config(encoder.get_config())
    assert again.get_config() == encoder.get_config()
    assert again.embedding_dim == encoder.embedding_dim
    assert again.provenance == RANDOM


def test_unknown_encoders_are_refused():
    with pytest.raises(ConfigError, match="unknown speaker encoder 'nonsense'"):
        PretrainedSpeakerEncoder("nonsense")


SIZES = {
    "ecapa_tdnn": ECAPAConfig((24, 32, 32, 32, 96), (5, 3, 3, 3, 1), (1, 2, 3, 4, 1), 16, 4, 8, 24),
    "coqui": CoquiEncoderConfig(24, (2, 1, 1, 1), (8, 16, 24, 32)),
    "resemblyzer": None,
}


@pytest.fixture(params=SIZES)
def loaded(request) -> PretrainedSpeakerEncoder:
    """An encoder of each kind whose weights count as published ones."""
    encoder = PretrainedSpeakerEncoder(request.param, False, SIZES[request.param])
    encoder.build()
    encoder.provenance, encoder.licence = "a project@sha256:" + "a" * 64, "Apache-2.0"
    return encoder


def test_a_preset_gives_the_same_encoder_back(loaded, tmp_path):
    loaded.save_to_preset(tmp_path / "preset")
    again = PretrainedSpeakerEncoder.from_preset(tmp_path / "preset")
    assert again.get_config() == loaded.get_config()
    assert (again.provenance, again.licence) == (loaded.provenance, loaded.licence)
    np.testing.assert_array_equal(again(AUDIO), loaded(AUDIO))
    record = json.loads((tmp_path / "preset" / "manifest.json").read_text())
    assert record["kind"] == "speaker_encoder"
    assert record["parameters"] == {"encoder": loaded.encoder.count_params()}


def test_half_of_a_preset_is_near_the_whole(reference, tmp_path):
    weights, expected = reference
    make_encoder(weights).save_to_preset(tmp_path / "preset", half=True)
    again = PretrainedSpeakerEncoder.from_preset(tmp_path / "preset")
    assert np.all(cosine(again(AUDIO), expected) >= 0.9999)


def test_random_weights_have_no_preset(tmp_path):
    with pytest.raises(WeightsError, match="random weights"):
        PretrainedSpeakerEncoder("resemblyzer").save_to_preset(tmp_path / "preset")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "changes", "error", "message"),
    [
        ("manifest.json", {"provenance": "random"}, WeightsError, "random weights"),
        ("manifest.json", {"provenance": None}, WeightsError, "random weights"),
        ("manifest.json", {"kind": "tacotron"}, CheckpointError, "kind 'tacotron', not 'speaker_"),
        ("manifest.json", {"sha256": {}}, CheckpointError, "is damaged"),
        ("config.yaml", {"speaker_encoder_type": "coqui"}, CheckpointError, "another configur"),
        ("config.yaml", {"speaker_encoder_type": "x"}, ConfigError, "speaker_encoder_type is 'x'"),
        ("config.yaml", {"size": 3}, ConfigError, "unknown key"),
    ],
)
def test_a_changed_preset_is_refused(reference, tmp_path, file, changes, error, message):
    make_encoder(reference[0]).save_to_preset(tmp_path)
    # JSON is YAML.
    values = yaml.safe_load((tmp_path / file).read_text()) | changes
    (tmp_path / file).write_text(json.dumps(values))
    with pytest.raises(error, match=message) as raised:
        PretrainedSpeakerEncoder.from_preset(tmp_path)
    assert isinstance(raised.value, MyXTTSError)
