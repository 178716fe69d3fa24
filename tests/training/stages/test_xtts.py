"""XTTS's stages are those that its configuration names."""

from typing import get_args, get_type_hints

import pytest

from myxtts.config import STAGES, StageConfig, TrainingConfig
from myxtts.errors import ConfigError
from myxtts.models.xtts import XTTS
from myxtts.training.stages.dvae import DVAETask
from myxtts.training.stages.xtts import XTTS_SYSTEM


def test_the_table_of_stages_is_the_one_of_the_flag():
    names = tuple(stage.name for stage in XTTS_SYSTEM.stages)
    assert names == STAGES
    assert get_args(get_type_hints(TrainingConfig)["stage"]) == ("all", *names)


@pytest.mark.parametrize("stage", XTTS_SYSTEM.stages, ids=lambda stage: stage.name)
def test_a_stage_has_settings_and_needs_earlier_ones(stage):
    assert isinstance(getattr(TrainingConfig(), stage.name), StageConfig)
    before = STAGES[: STAGES.index(stage.name)]
    assert set(stage.needs) <= set(before)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({}, "6 must be 0 without one"),
        ({"use_pretrained_speaker_encoder": True}, "6 must be 24, its embedding's size, or 0"),
        (
            {"use_pretrained_speaker_encoder": True, "freeze_speaker_encoder": False},
            "6 must be 0 without one",
        ),
    ],
)
def test_a_dvae_hears_only_speakers_that_a_frozen_encoder_embeds(micro_config, model, message):
    config = micro_config.merged({"model": {"dvae": {"speaker_dim": 6}} | model})
    with pytest.raises(ConfigError, match=message):
        DVAETask(XTTS(config), config)
