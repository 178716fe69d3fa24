"""The composed model: Coqui's sizes, stable names, presets, both audio encoders."""

import json

import keras
import numpy as np
import pytest

from myxtts.audio.mel import MelNorm
from myxtts.config import SPEAKER_ENCODER_TYPES, XTTSConfig
from myxtts.errors import CheckpointError, WeightsError
from myxtts.models.audio_encoder import OriginalAudioEncoder, PretrainedAudioEncoder
from myxtts.models.xtts import XTTS, AudioEncoder

# Parameters of Coqui's XTTS-v2, module by module.
COQUI = {
    "gpt blocks": 377_888_768,
    "conditioning_encoder": 25_285_632,
    "perceiver": 21_014_184,
    "text_embedding": 6_841_344,
    "text_head": 6_848_025,
    "audio_embedding": 1_050_624,
    "audio_head": 1_051_650,
    "audio_positions": 622_592,
    "text_positions": 413_696,
    "final_norm": 2_048,
    "decoder": 17_827_808,
    "speaker_encoder": 8_028_492,
    "dvae": 51_567_184,
}
TOTAL = 518_442_047
# The decoder's weight norms are folded: a gain for every channel is part of its kernels.
FOLDED_GAINS = 9_600


@pytest.fixture
def no_memory(monkeypatch):
    """Weights of full size that take no memory: shapes are all that is counted."""

    def add_weight(self, shape=None, trainable=True, name=None, **options):
        counted = keras.KerasTensor(shape)
        counted.trainable = trainable
        self.__dict__.setdefault("_counted", []).append(counted)
        return counted

    monkeypatch.setattr(keras.layers.Layer, "add_weight", add_weight)


def count(layer) -> int:
    """Trainable numbers of a layer built under ``no_memory``."""
    counted = layer.__dict__.get("_counted", [])
    own = sum(int(np.prod(item.shape)) for item in counted if item.trainable)
    return own + sum(count(child) for child in layer._layers)


def test_xtts_v2_preset_has_coquis_parameter_counts(no_memory):
    model = XTTS(XTTSConfig.preset("xtts_v2"))
    gpt, encoder = model.gpt, model.audio_encoder
    counts = {
        "gpt blocks": sum(count(block) for block in gpt.blocks) + count(gpt.ln_f),
        "conditioning_encoder": count(encoder.conditioning_encoder),
        "perceiver": count(encoder.perceiver),
        "decoder": count(model.decoder) + FOLDED_GAINS,
        "speaker_encoder": count(encoder.speaker_encoder),
        "dvae": count(model.dvae),
    }
    counts |= {name: count(getattr(gpt, name)) for name in COQUI if hasattr(gpt, name)}
    assert counts == COQUI
    assert sum(counts.values()) == TOTAL
    assert count(model) + FOLDED_GAINS == TOTAL


def test_variable_names_do_not_depend_on_what_was_built_before(micro_config):
    names = [
        [variable.path for part in XTTS(micro_config).parts().values() for variable in part.weights]
        for _ in range(2)
    ]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])


def test_the_switch_names_the_audio_encoder(micro_config):
    assert isinstance(AudioEncoder(micro_config.model), OriginalAudioEncoder)
    pretrained = with_resemblyzer(micro_config)
    assert isinstance(AudioEncoder(pretrained.model), PretrainedAudioEncoder)


@pytest.mark.parametrize("kind", SPEAKER_ENCODER_TYPES)
def test_a_pretrained_encoder_without_weights_is_refused(micro_config, kind):
    config = with_resemblyzer(micro_config).merged({"model": {"speaker_encoder_type": kind}})
    encoder = AudioEncoder(config.model)
    with pytest.raises(WeightsError, match="random weights"):
        encoder.encode(np.zeros((1, 22_050), "float32"))


@pytest.mark.parametrize("original", [True, False])
def test_padding_and_batching_do_not_change_conditioning(micro_config, original):
    config = micro_config if original else with_resemblyzer(micro_config)
    encoder = AudioEncoder(config.model)
    encoder.build()
    if not original:
        encoder.speaker_encoder.provenance = "weights of this test"
    rng = np.random.default_rng(0)
    for variable in encoder.trainable_variables:
        variable.assign(variable + 0.05 * rng.normal(size=variable.shape))
    clips = [0.1 * rng.normal(size=size).astype("float32") for size in (30_011, 44_100, 25_000)]
    batch = np.zeros((3, 50_000), "float32")
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    latents, speakers = encoder.encode(batch, np.array([len(clip) for clip in clips]))
    for index, clip in enumerate(clips):
        single = encoder.encode(clip[None])
        np.testing.assert_allclose(latents[index], single[0][0], atol=2e-5)
        np.testing.assert_allclose(speakers[index], single[1][0], atol=1e-5)


def test_preset_gives_the_same_model_back(trained, tmp_path):
    model = XTTS.from_preset(trained.preset)
    model.save_to_preset(tmp_path / "copy")
    again = XTTS.from_preset(tmp_path / "copy")
    assert again.config == model.config
    assert again.trained_steps == model.trained_steps
    for name, part in model.parts().items():
        for one, other in zip(part.weights, getattr(again, name).weights, strict=True):
            np.testing.assert_array_equal(one, other)


def test_manifest_says_what_the_preset_is(trained):
    manifest = json.loads((trained.preset / "manifest.json").read_text())
    assert manifest["trained_steps"] == {"dvae": 4, "gpt": 4, "decoder": 2}
    assert manifest["encoder_provenance"] is None
    assert set(manifest["sha256"]) == {"xtts.safetensors", "dvae.safetensors"}


def test_a_failed_save_leaves_the_old_preset(trained, tmp_path, monkeypatch):
    model = XTTS.from_preset(trained.preset)
    folder = tmp_path / "preset"
    model.save_to_preset(folder)
    before = (folder / "manifest.json").read_bytes()

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("myxtts.presets.variables.save_file", full)
    with pytest.raises(CheckpointError, match="No space left"):
        model.save_to_preset(folder)
    assert (folder / "manifest.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]


def test_a_folder_that_is_no_preset_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        XTTS.from_preset(tmp_path)


def test_mel_stats_reach_both_normalisations(micro_config):
    model = XTTS(micro_config)
    stats = np.linspace(1, 2, 80).astype("float32")
    model.set_mel_stats(stats)
    for layer in (model.mel_norm, model.audio_encoder.mel_norm):
        assert isinstance(layer, MelNorm)
        np.testing.assert_array_equal(layer.mel_stats, stats)


def with_resemblyzer(config: XTTSConfig) -> XTTSConfig:
    changes = {"use_pretrained_speaker_encoder": True, "speaker_encoder_type": "resemblyzer"}
    return config.merged({"model": changes})
