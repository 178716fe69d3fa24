"""XTTS's stages are those that its configuration names."""

from typing import get_args, get_type_hints

import pytest

from myxtts.config import STAGES, StageConfig, TrainingConfig
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
