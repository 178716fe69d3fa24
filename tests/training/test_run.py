"""A run trains every stage, and refuses what does not fit."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from myxtts.config import TrainingConfig, XTTSConfig
from myxtts.errors import CheckpointError, ConfigError
from myxtts.files import locked
from myxtts.models.xtts import XTTS
from myxtts.training.run import train, xla_pays
from myxtts.training.start import differing_keys
from tests.conftest import run_config


def test_a_run_leaves_a_preset_logs_and_reports(trained):
    run_dir = trained.preset.parent
    assert trained.steps == {"dvae": 4, "gpt": 4, "decoder": 2}
    assert list((run_dir / "tensorboard").glob("*/events*"))
    history = json.loads((run_dir / "history.json").read_text())
    assert {record["stage"] for record in history} == {"dvae", "gpt", "decoder"}
    assert json.loads((run_dir / "data-train.json").read_text())["kept"] == 6


def test_every_stage_changes_its_own_weights(trained, micro_config):
    trained_model = XTTS.from_preset(trained.preset)
    fresh = XTTS(micro_config)
    for name, part in trained_model.parts().items():
        before = [np.asarray(v) for v in getattr(fresh, name).weights]
        after = [np.asarray(v) for v in part.weights]
        assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)), name


def test_a_finished_run_is_not_overwritten(trained, micro_config, corpus):
    config = run_config(micro_config, corpus, trained.preset.parent)
    with pytest.raises(CheckpointError, match="--resume"):
        train(config)


def test_resuming_a_finished_run_trains_nothing(trained, micro_config, corpus):
    config = run_config(micro_config, corpus, trained.preset.parent, resume=True)
    assert train(config).steps == trained.steps


def test_another_models_run_folder_is_refused(trained, micro_config, corpus):
    other = micro_config.merged({"model": {"gpt": {"layers": 3}}})
    with pytest.raises(CheckpointError, match=r"model\.gpt\.layers differs"):
        train(run_config(other, corpus, trained.preset.parent, resume=True))


def test_gpt_needs_a_trained_dvae(micro_config, corpus, tmp_path):
    with pytest.raises(CheckpointError, match="needs a trained dvae"):
        train(run_config(micro_config, corpus, tmp_path, stage="gpt"))


@pytest.mark.slow
def test_stages_can_run_one_by_one(micro_config, corpus, tmp_path):
    for stage in ("dvae", "gpt"):
        result = train(run_config(micro_config, corpus, tmp_path, stage=stage))
    assert result.steps == {"dvae": 4, "gpt": 4}


def test_missing_training_corpus_is_named():
    with pytest.raises(ConfigError, match="--train-data"):
        train(XTTSConfig())


def test_differing_keys_are_dotted():
    assert differing_keys({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["a.c"]


def test_a_run_keeps_its_folder_to_itself(micro_config, corpus, tmp_path):
    config = run_config(micro_config, corpus, tmp_path)
    with locked(tmp_path), pytest.raises(CheckpointError, match="in use by another process"):
        train(config)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("buckets", "mixed", "pays"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_xla_compiles_where_it_pays(monkeypatch, buckets, mixed, pays):
    """Few sizes of batches, and no bfloat16 on a processor."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    streams = SimpleNamespace(buckets=object() if buckets else None)
    assert xla_pays(streams, TrainingConfig(mixed_precision=mixed)) == pays
