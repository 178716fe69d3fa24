"""The speaker stage: it learns, is judged on strangers, resumes, and leaves a preset."""

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from safetensors.numpy import load_file

from myxtts.config import ECAPAConfig
from myxtts.errors import CheckpointError, ConfigError, DataError, WeightsError
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.models.wavlm import WavLMEncoder
from myxtts.settings import to_dict
from myxtts.speaker_config import SpeakerConfig
from myxtts.training.logs import read_history
from myxtts.training.optimizers import make_optimizer
from myxtts.training.run import train
from myxtts.training.stages import speaker, xtts
from myxtts.training.stages.speaker import (
    NO_EER,
    SpeakerTask,
    in_batch_eer,
    learning_parts,
)
from myxtts.training.stages.speaker_system import SPEAKER_SYSTEM
from myxtts.verification.trials import detection_errors, read_trials
from myxtts.verification.verifier import SpeakerVerifier
from myxtts.weights.speaker_encoders import pretrained_speaker_encoder
from tests.conftest import MICRO, hum
from tests.training.test_resume import Killed, die_in

RATE = 16_000
SMALL = {
    "model": {
        "ecapa": MICRO["model"]["ecapa"],
        "wavlm": MICRO["model"]["wavlm"],
        # With 8 channels oneDNN, in TensorFlow 2.21, writes beyond its memory in the gradient.
        "coqui_encoder": {
            "embedding_dim": 24,
            "blocks": [1, 1, 1, 1],
            "channels": [16, 16, 32, 32],
        },
    },
    "data": {"speakers_per_batch": 3, "crop_seconds": [0.6, 0.9], "validation_seconds": 1.0},
    "training": {
        "speaker": {"steps": 4, "batch_size": 6, "warmup_steps": 1, "learning_rate": 2e-3},
        "validate_every": 2,
        "checkpoint_every": 2,
        "pictures": False,
    },
}


def write_speakers(folder: Path, pitches, clips: int = 3) -> Path:
    rng = np.random.default_rng(len(pitches))
    for pitch in pitches:
        for clip in range(clips):
            path = folder / f"p{pitch}" / f"{clip}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, hum(1.0 + 0.1 * clip, pitch, rng, RATE), RATE)
    return folder


@pytest.fixture(scope="module")
def speakers(tmp_path_factory) -> Path:
    """Folders ``train`` and ``val`` of hums, a pitch a speaker, and one of noise."""
    top = tmp_path_factory.mktemp("speakers")
    write_speakers(top / "train", (90, 130, 180, 240))
    write_speakers(top / "val", (110, 200, 280))
    (top / "noise").mkdir()
    noise = 0.1 * np.random.default_rng(0).normal(size=RATE)
    soundfile.write(top / "noise" / "n.wav", noise, RATE)
    return top


def configured(speakers: Path, output: Path, *more: dict) -> SpeakerConfig:
    config = SpeakerConfig().merged(SMALL)
    named = {"train_data": str(speakers / "train"), "val_data": str(speakers / "val")}
    named["augmentation"] = {"noise_paths": [str(speakers / "noise")], "gain": [-3.0, 3.0]}
    for values in ({"data": named, "training": {"output_dir": str(output)}}, *more):
        config = config.merged(values)
    return config


def training(**values) -> dict:
    return {"training": values}


@pytest.fixture(scope="module")
def run(speakers, tmp_path_factory):
    """A finished run of a small ECAPA by GE2E."""
    output = tmp_path_factory.mktemp("run")
    return train(configured(speakers, output), SPEAKER_SYSTEM)


@pytest.mark.slow
def test_a_killed_run_ends_as_an_unbroken_one(run, speakers, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_in(patch, "speaker", 2)
        train(configured(speakers, tmp_path), SPEAKER_SYSTEM)
    keras.utils.set_random_seed(99)  # another process knows nothing of the first
    again = train(configured(speakers, tmp_path, training(resume=True)), SPEAKER_SYSTEM)
    assert again.best == run.best
    whole = run.preset.parent
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.safetensors"))
    assert len(files) >= 5
    for path in files:
        ours, theirs = load_file(tmp_path / path), load_file(whole / path)
        assert ours.keys() == theirs.keys()
        for name in theirs:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=f"{path} {name}")
    assert read_history(tmp_path) == read_history(whole)
    kept = [folder / "trials.txt" for folder in (tmp_path, whole)]
    assert kept[0].read_text() == kept[1].read_text()


def test_the_figures_have_names_of_their_own(run):
    history = read_history(run.preset.parent)
    judged = [record for record in history if record["kind"] == "validation"]
    assert [record["step"] for record in judged] == [0, 2, 4]
    assert {"eer", "min_dcf"} <= judged[0].keys() and "in_batch_eer" not in judged[0]
    trained = [record for record in history if record["kind"] == "train"]
    assert "in_batch_eer" in trained[0] and "eer" not in trained[0]
    assert run.best["speaker"] == min(record["eer"] for record in judged[1:])


def test_the_preset_is_the_best_model_and_gives_the_figure_again(run):
    verifier = SpeakerVerifier.from_preset(run.preset)
    assert "random weights trained by ge2e, 4 steps@sha256:" in verifier.provenance
    trials = read_trials(run.preset.parent / "trials.txt")
    names = sorted({name for trial in trials for name in (trial.enrol, trial.test)})
    clips = [soundfile.read(name, dtype="float32")[0][:RATE] for name in names]
    found = dict(zip(names, verifier.embed(clips), strict=True))
    scores = [float(found[trial.enrol] @ found[trial.test]) for trial in trials]
    errors = detection_errors(scores, [trial.target for trial in trials])
    assert errors.eer == pytest.approx(run.best["speaker"], abs=1e-6)


def test_the_preset_holds_the_encoder_alone_and_frozen(run):
    encoder = PretrainedSpeakerEncoder.from_preset(run.preset)
    assert encoder.freeze and encoder.trainable_variables == []
    stored = load_file(run.preset / "speaker_encoder.safetensors")
    assert stored.keys() == encoder.variables_by_name().keys()


@pytest.mark.parametrize("place", ["preset", "."])
def test_whoever_takes_pretrained_weights_takes_a_preset(run, place):
    folder = run.preset.parent / place
    encoder = pretrained_speaker_encoder("ecapa_tdnn", folder)
    audio = hum(1.0, 150, np.random.default_rng(0), RATE)[None]
    expected = PretrainedSpeakerEncoder.from_preset(run.preset)
    np.testing.assert_array_equal(encoder(audio), expected(audio))
    assert encoder.provenance == expected.provenance
    with pytest.raises(WeightsError, match="of type ecapa_tdnn, not resemblyzer"):
        pretrained_speaker_encoder("resemblyzer", folder)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        pytest.param(
            *("ecapa_tdnn", {"loss": "angular_prototypical", "pictures": True}),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("ecapa_tdnn", {"loss": "aam_softmax", "aam_margin_end": 3, "aam_sub_centres": 2}),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("coqui", {"ge2e_variant": "contrast", "gradient_accumulation": 2}),
            marks=pytest.mark.slow,
        ),
        ("wavlm", {"trained": "last", "last_layers": 1, "layer_decay": 0.5}),
    ],
)
def test_every_loss_trains_every_backbone(speakers, tmp_path, kind, changes):
    model = {"model": {"speaker_encoder_type": kind}}
    values = training(**changes, speaker={"steps": 2})
    result = train(configured(speakers, tmp_path, model, values), SPEAKER_SYSTEM)
    assert PretrainedSpeakerEncoder.from_preset(result.preset).encoder_type == kind
    assert np.isfinite(result.best["speaker"])


@pytest.mark.slow
def test_fine_tuning_starts_from_a_preset_and_says_so(run, speakers, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    init = training(init_from=str(run.preset), speaker={"steps": 2, "learning_rate": 1e-9})
    unset = SpeakerConfig().model
    config = configured(speakers, tmp_path, init)
    config = config.merged({"data": {"val_data": str(speakers / "train")}})
    result = train(type(config)(unset, config.data, config.training), SPEAKER_SYSTEM)
    tuned, start = (PretrainedSpeakerEncoder.from_preset(f) for f in (result.preset, run.preset))
    assert tuned.sizes == start.sizes != unset.ecapa
    assert tuned.provenance.startswith(start.provenance + " trained by ge2e, 2 steps@sha256:")
    before = start.variables_by_name()
    for name, variable in tuned.variables_by_name().items():
        if "moving" not in name:
            np.testing.assert_allclose(variable, before[name], atol=1e-6, err_msg=name)
    assert "4 speakers of the validation folder are trained on too" in caplog.text
    # What it started from may be gone when it goes on.
    more = training(init_from=str(tmp_path / "gone"), resume=True, speaker={"steps": 3})
    longer = config.merged(more)
    again = train(type(config)(unset, longer.data, longer.training), SPEAKER_SYSTEM)
    assert again.steps == {"speaker": 3}
    origin = json.loads((tmp_path / "origin.json").read_text())
    assert origin["provenance"] == start.provenance


def test_the_rate_falls_where_the_error_stalls():
    task = SpeakerTask.__new__(SpeakerTask)
    values = training(plateau_factor=0.5, plateau_patience=2, speaker={"warmup_steps": 0})
    task.training = SpeakerConfig().merged(SMALL).merged(values).training
    task.share, task.least = keras.Variable(1.0), keras.Variable(NO_EER)
    task.stalled = keras.Variable(0, dtype="int32")
    weight = keras.Variable(np.ones(3), name="weight")
    optimizer = make_optimizer(task.training.speaker, task.training, [weight], task.share)
    whole, shares = float(optimizer.learning_rate), []
    for eer in (20.0, 15.0, 15.0, 16.0, 14.0, 14.0, 14.0, 14.0, 14.0):
        task._slow_down(eer)
        shares.append(float(optimizer.learning_rate) / whole)
    assert shares == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


@pytest.mark.slow
def test_passes_are_counted_in_epochs(speakers, tmp_path):
    result = train(configured(speakers, tmp_path, training(epochs=1)), SPEAKER_SYSTEM)
    assert result.steps == {"speaker": 2}  # 12 recordings in batches of 6


@pytest.mark.parametrize(
    ("trained", "parts"),
    [
        ("head", [1.0]),
        ("frozen", [1.0]),
        ("last", [1.0, 0.5]),
        ("all", [1.0, 0.5, 0.25, 0.125]),
    ],
)
def test_what_of_a_wavlm_learns(trained, parts):
    config = SpeakerConfig().merged(SMALL)
    encoder = WavLMEncoder(config.model.wavlm)
    encoder.build()
    values = {"trained": trained, "last_layers": 1, "layer_decay": 0.5}
    model = {"model": {"speaker_encoder_type": "wavlm"}}
    found = learning_parts(encoder, config.merged({**model, **training(**values)}).training)
    assert [rate for rate, _ in found] == parts
    chosen = [variable for _, variables in found for variable in variables]
    assert len(chosen) == len({id(variable) for variable in chosen})
    assert any(variable is encoder.layer_weights for variable in chosen) == (trained != "head")
    if trained == "all":
        assert len(chosen) == len(encoder.trainable_variables)


def test_the_figure_of_a_batch_is_the_error_rate_of_its_pairs():
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(6), 4)
    vectors = rng.normal(size=(24, 5)) + 0.7 * rng.normal(size=(6, 5))[ids]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(24) for j in range(i)]
    scores = [unit[i] @ unit[j] for i, j in pairs]
    expected = detection_errors(scores, [ids[i] == ids[j] for i, j in pairs]).eer
    found = float(in_batch_eer(keras.ops.convert_to_tensor(ids), vectors.astype("float32")))
    assert found == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training": {"speaker": {"batch_size": 7}}}, "must be a multiple of"),
        ({"training": {"speaker": {"batch_size": 3}}}, "wants two utterances of a speaker"),
        ({"training": {"trained": "head"}}, "training.trained is for wavlm"),
        ({"training": {"loss": "ge2"}}, "did you mean 'ge2e'"),
        (
            {"training": {"aam_margin_start": 9, "aam_margin_end": 5}},
            "aam_margin_end must be above",
        ),
        ({"data": {"speaker_per_batch": 3}}, "did you mean 'speakers_per_batch'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        SpeakerConfig().merged(SMALL).merged(values)


@pytest.mark.parametrize(
    ("pitches", "clips", "message"),
    [((90,), 3, "1 speaker; two are"), ((90, 130), 1, "0 speakers with 2 recordings or more")],
)
def test_too_little_to_learn_from_is_said(speakers, tmp_path, pitches, clips, message):
    write_speakers(tmp_path / "few", pitches, clips)
    config = configured(speakers, tmp_path / "run").merged(
        {"data": {"train_data": str(tmp_path / "few")}}
    )
    with pytest.raises(DataError, match=message):
        train(config, SPEAKER_SYSTEM)


def test_a_run_is_not_written_over(run, speakers):
    with pytest.raises(CheckpointError, match="already holds checkpoints"):
        train(configured(speakers, run.preset.parent), SPEAKER_SYSTEM)


def test_an_xtts_hears_by_the_preset_in_its_sizes(run, micro_config, tmp_path):
    wanted = {
        "use_pretrained_speaker_encoder": True,
        "speaker_encoder_type": "ecapa_tdnn",
        "pretrained_speaker_encoder_path": str(run.preset.parent),
        "ecapa": to_dict(ECAPAConfig()),
    }
    config = micro_config.merged({"model": wanted, "training": {"output_dir": str(tmp_path)}})
    known = xtts.complete(config)
    assert to_dict(known.model.ecapa) == to_dict(SpeakerConfig().merged(SMALL).model.ecapa)
    heard = xtts.make_model(known, tmp_path).audio_encoder.speaker_encoder
    stored = PretrainedSpeakerEncoder.from_preset(run.preset)
    assert heard.provenance == stored.provenance and heard.freeze
    # Resumed with the same flags, it has the sizes of the run.
    known.to_yaml(tmp_path / "config.yaml")
    assert xtts.complete(config).model == known.model


def test_a_preset_of_another_kind_is_no_speaker_encoder(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match="a preset of kind 'xtts', not 'speaker_encoder'"):
        pretrained_speaker_encoder("ecapa_tdnn", tmp_path)


def test_what_a_validation_leaves_to_look_at(speakers, tmp_path, monkeypatch):
    """Clouds, projector files, sounds and the share of waiting; Comet hears the figures."""
    heard: list[tuple[int, dict]] = []
    comet = SimpleNamespace(
        tell=lambda step, figures: heard.append((step, dict(figures))), close=lambda: None
    )
    monkeypatch.setattr(speaker, "Comet", lambda project, name, told: comet)
    monkeypatch.setitem(sys.modules, "umap", None)
    more = training(pictures=True, comet_project="voices", speaker={"steps": 2})
    train(configured(speakers, tmp_path, more), SPEAKER_SYSTEM)
    folder = tmp_path / "tensorboard" / "speaker"
    tags = {
        value.tag
        for path in folder.glob("events*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    }
    assert {"speaker/trials/points", "speaker/trials/cosines", "speaker/trials/0"} <= tags
    assert "speaker/train/waiting_share" in tags
    augmented = [tag for tag in tags if tag.startswith("speaker/train/0 p")]
    assert augmented and augmented[0].split()[1] in {"p90", "p130", "p180", "p240"}
    vectors = np.loadtxt(folder / "tensors.tsv", delimiter="\t")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    labels = (folder / "metadata.tsv").read_text().splitlines()
    assert len(labels) == len(vectors) == 9
    assert labels[0] == "p110/0.wav"
    assert {step for step, _ in heard} == {0, 2}
    assert any("speaker/validation/eer" in figures for _, figures in heard)
    assert all("waiting" not in name for record in read_history(tmp_path) for name in record)
