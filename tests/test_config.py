"""The configuration is strict, complete and survives a trip through YAML."""

import dataclasses

import pytest

from myxtts.config import STAGES, XTTSConfig
from myxtts.errors import ConfigError
from myxtts.recipes import PRESETS
from myxtts.settings import to_dict


@pytest.mark.parametrize("name", PRESETS)
def test_preset_survives_yaml(name, tmp_path):
    config = XTTSConfig.preset(name)
    config.to_yaml(tmp_path / "config.yaml")
    assert XTTSConfig.from_yaml(tmp_path / "config.yaml") == config


def test_xtts_v2_preset_has_coquis_sizes():
    model = XTTSConfig.preset("xtts_v2").model
    assert (model.gpt.layers, model.gpt.model_dim, model.gpt.heads) == (30, 1024, 16)
    assert (model.gpt.max_audio_tokens, model.gpt.max_text_tokens) == (605, 402)
    assert (model.gpt.num_text_tokens, model.dvae.num_codes) == (6681, 1024)
    assert (model.gpt.start_text_token, model.gpt.stop_text_token) == (261, 0)
    assert model.conditioning.num_latents == 32
    assert model.speaker.embedding_dim == 512


def test_presets_grow():
    widths = [XTTSConfig.preset(name).model.gpt.model_dim for name in PRESETS]
    assert widths == sorted(widths)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'small'"):
        XTTSConfig.preset("smal")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": {}}, "unknown key 'modle'; did you mean 'model'"),
        ({"model": {"gpt": {"layer": 2}}}, "'model.gpt.layer'; did you mean 'layers'"),
        ({"model": {"gpt": {"layers": "2"}}}, "model.gpt.layers must be of type int"),
        ({"model": {"gpt": {"layers": True}}}, "model.gpt.layers must be of type int"),
        ({"model": {"gpt": 3}}, "model.gpt must be a mapping"),
        ({"model": {"speaker_encoder_type": "resemblizer"}}, "did you mean 'resemblyzer'"),
        ({"model": {"decoder": {"upsample_rates": []}}}, "non-empty list"),
        ({"model": {"decoder": {"upsample_rates": [8, 8, 2, 4]}}}, "multiplies to 512"),
        ({"model": {"decoder": {"kind": "istf"}}}, "did you mean 'istft'"),
        ({"model": {"decoder": {"istft": {"hop": 96}}}}, "istft.hop must be an even number that"),
        ({"model": {"decoder": {"istft": {"n_fft": 1000}}}}, "n_fft must be a multiple of hop"),
        (
            {"model": {"decoder": {"istft": {"code_blocks": 1, "code_lookahead": 3}}}},
            "istft.code_lookahead must be at most .* which is 2",
        ),
        (
            {"training": {"discriminators": ["multi_band"]}},
            "training.discriminators is 'multi_band'",
        ),
        ({"model": {"gpt": {"model_dim": 30, "heads": 4}}}, "multiple of"),
        ({"synthesis": {"top_p": 1.5}}, "synthesis.top_p must be in"),
        ({"training": {"seed": -1}}, "training.seed must be at least 0"),
        ({"data": {"min_seconds": 20.0}}, "data.min_seconds must be above 0 and below"),
        ({"data": {"reference_seconds": 0}}, "data.reference_seconds must be above 0"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        XTTSConfig().merged(values)


def test_whole_numbers_pass_for_floats_only():
    config = XTTSConfig().merged({"data": {"max_seconds": 9}})
    assert config.data.max_seconds == 9.0
    assert isinstance(config.data.max_seconds, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [("model: [", "not valid YAML"), ("- 1", "top level must be a mapping")],
)
def test_malformed_yaml_names_the_file(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        XTTSConfig.from_yaml(path)
    assert "bad.yaml" in str(caught.value)


def test_missing_yaml_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        XTTSConfig.from_yaml(tmp_path / "none.yaml")


def test_empty_yaml_changes_nothing(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("")
    assert XTTSConfig.from_yaml(path) == XTTSConfig()


def test_every_field_has_help():
    def walk(config):
        for item in dataclasses.fields(config):
            value = getattr(config, item.name)
            if dataclasses.is_dataclass(value):
                walk(value)
            else:
                assert item.metadata.get("help"), item.name

    walk(XTTSConfig())


def test_every_stage_has_settings():
    training = XTTSConfig().training
    assert [getattr(training, stage).batch_size for stage in STAGES]


def test_to_dict_is_plain():
    assert to_dict(XTTSConfig())["model"]["decoder"]["upsample_rates"] == [8, 8, 2, 2]
