"""Training with a pretrained encoder: frozen is frozen, unfrozen learns and says so."""

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

from myxtts.config import XTTSConfig
from myxtts.errors import ConfigError, DataError
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.models.xtts import XTTS
from myxtts.training.run import Streams, train
from myxtts.training.stages.gpt import FINE_TUNED, STAGE, mark_fine_tuned
from myxtts.training.stages.xtts import prepare
from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder
from tests.conftest import run_config
from tests.encoder_files import KINDS, write_encoder
from tests.training.test_resume import Killed, die_in

STATISTICS = ("moving_mean", "moving_variance")


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, Path]:
    """A weights file of every encoder, as its upstream lays it out."""
    folder = tmp_path_factory.mktemp("encoders")
    return {kind: write_encoder(kind, folder / kind) for kind in KINDS}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "converted"))


def encoder_config(config, kind: str, file: Path, freeze: bool):
    changes = {
        "use_pretrained_speaker_encoder": True,
        "speaker_encoder_type": kind,
        "freeze_speaker_encoder": freeze,
        "pretrained_speaker_encoder_path": str(file),
    }
    return config.merged({"model": changes})


def published(config) -> PretrainedSpeakerEncoder:
    """The encoder as its file has it."""
    encoder = PretrainedSpeakerEncoder.from_section(config.model)
    load_pretrained_speaker_encoder(encoder, config.model.pretrained_speaker_encoder_path)
    return encoder


def moved(preset: Path, config) -> set[str]:
    """Paths of the published encoder's weights and statistics that training has changed."""
    trained = XTTS.from_preset(preset).audio_encoder.speaker_encoder
    pairs = zip(trained.encoder.weights, published(config).encoder.weights, strict=True)
    return {other.path for one, other in pairs if not np.array_equal(one, other)}


def gpt_steps(steps: int) -> dict:
    return {"steps": steps, "batch_size": 4, "warmup_steps": 1, "learning_rate": 1e-3}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_encoder_stands_still(micro_config, corpus, tmp_path, files, kind):
    config = encoder_config(micro_config, kind, files[kind], freeze=True)
    quick = {"validate_every": 50, "checkpoint_every": 50, "ge2e_loss_weight": 0.1}
    config = run_config(config, corpus, tmp_path / "run", gpt=gpt_steps(50), **quick)
    result = train(config)
    assert moved(result.preset, config) == set()
    manifest = json.loads((result.preset / "manifest.json").read_text())
    assert manifest["encoder_provenance"] == published(config).provenance
    assert manifest["trained_steps"] == {"dvae": 4, "gpt": 50, "decoder": 2}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_unfrozen_encoder_learns_says_so_and_can_be_resumed(
    micro_config, corpus, tmp_path, files, kind, monkeypatch
):
    config = encoder_config(micro_config, kind, files[kind], freeze=False)
    losses = {"ge2e_loss_weight": 0.5, "contrastive_loss_weight": 0.1, "speaker_loss_weight": 1.0}
    decoder = {"steps": 2 if kind == "ecapa_tdnn" else 0}
    whole = run_config(config, corpus, tmp_path / "whole", decoder=decoder, **losses)
    preset = train(whole).preset
    check_moved(preset, whole)
    broken = whole.merged({"training": {"output_dir": str(tmp_path / "broken"), "resume": True}})
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_in(patch, "gpt", 2)
        train(broken)
    keras.utils.set_random_seed(99)  # another process knows nothing of the first
    train(broken)
    for path in sorted((tmp_path / "whole").rglob("*.safetensors")):
        ours = load_file(tmp_path / "broken" / path.relative_to(tmp_path / "whole"))
        for name, theirs in load_file(path).items():
            np.testing.assert_array_equal(ours[name], theirs, err_msg=f"{path} {name}")
    model = XTTS.from_preset(tmp_path / "broken" / "preset")
    assert model.encoder_provenance == published(config).provenance + FINE_TUNED


def check_moved(preset: Path, config) -> None:
    """Nearly every weight has changed, and the statistics of those encoders that have any."""
    changed, trainable = moved(preset, config), published(config).trainable_variables
    assert len(changed & {variable.path for variable in trainable}) > 0.9 * len(trainable)
    statistics = {name for name in changed if name.endswith(STATISTICS)}
    assert bool(statistics) == (config.model.speaker_encoder_type in ("ecapa_tdnn", "coqui"))


@pytest.mark.parametrize("freeze", [True, False])
def test_fine_tuning_is_said_once(micro_config, files, freeze):
    config = encoder_config(micro_config, "ecapa_tdnn", files["ecapa_tdnn"], freeze)
    encoder = published(config)
    before = encoder.provenance
    model = SimpleNamespace(config=config, audio_encoder=SimpleNamespace(speaker_encoder=encoder))
    for _ in range(2):
        mark_fine_tuned(model)
    assert encoder.provenance == before + ("" if freeze else FINE_TUNED)


def balanced(speakers, batch_size: int, speakers_per_batch: int = 0, loss: bool = True) -> int:
    corpus = SimpleNamespace(speakers=np.array(speakers))
    values = {
        "data": {"speakers_per_batch": speakers_per_batch, "train_data": "mine"},
        "training": {"gpt": {"batch_size": batch_size}, "ge2e_loss_weight": 0.1 * loss},
    }
    return STAGE.speakers_per_batch(corpus, XTTSConfig().merged(values))


def test_a_speaker_loss_asks_for_two_utterances_a_speaker():
    speakers = np.repeat(np.arange(10), 5)
    assert balanced(speakers, 8) == 4
    assert balanced(speakers, 16) == 8
    assert balanced(speakers, 64) == 10
    assert balanced(speakers, 4) == 2
    assert balanced(speakers, 16, speakers_per_batch=4) == 4
    assert balanced(speakers, 16, loss=False) == 0
    assert balanced(speakers, 16, speakers_per_batch=3, loss=False) == 3


@pytest.mark.parametrize("speakers", [[0] * 8, [0, 0, 0, 1], range(5)])
def test_speakers_without_pairs_are_refused(speakers):
    with pytest.raises(DataError, match="^mine: a contrastive or GE2E loss needs two speakers"):
        balanced(speakers, 16)


@pytest.mark.parametrize(("batch_size", "speakers"), [(3, 0), (16, 1), (8, 5), (1, 0)])
def test_batches_without_pairs_are_refused(batch_size, speakers):
    with pytest.raises(ConfigError, match="no pairs; give --gpt-batch-size"):
        balanced(np.repeat(np.arange(10), 5), batch_size, speakers)


def test_batches_of_the_gpt_stage_are_balanced_under_a_speaker_loss(micro_config, corpus, tmp_path):
    config = run_config(micro_config, corpus, tmp_path, ge2e_loss_weight=0.1)
    config = config.merged({"training": {"gpt": {"batch_size": 6}}})
    _, train, validation = prepare(config, tmp_path)
    batches = Streams(STAGE, train, validation, config).train(0)
    for batch in itertools.islice(batches.as_numpy_iterator(), 4):
        assert np.bincount(batch["speaker_ids"]).tolist() == [3, 3]


def test_missing_pairs_are_said_before_any_stage(micro_config, corpus, tmp_path):
    config = run_config(micro_config, corpus, tmp_path, contrastive_loss_weight=0.1)
    with pytest.raises(ConfigError, match="no pairs"):
        train(config.merged({"training": {"gpt": {"batch_size": 3}}}))
    assert not (tmp_path / "checkpoints").exists()
