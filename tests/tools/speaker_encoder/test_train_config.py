"""The original program's JSON: every key, its alias, and what is refused."""

import json
import logging
from pathlib import Path

import pytest
import yaml

from myxtts.errors import ConfigError
from myxtts.settings import to_dict
from myxtts.speaker_config import SpeakerConfig
from tools.speaker_encoder.train_config import TrainConfig, read_train_config
from tools.speaker_encoder.train_encoder import main, parser, resolve

# As the original's repository has it, placeholders and all.
SHIPPED = {
    "model_name": "wavlm-base-plus-sv",
    "run_id": "wavlm-base-plus-sv_run",
    "train_data_root": "../datasets/vc1/train",
    "val_data_root": "../datasets/vc1/val",
    "multi_rec_session": False,
    "model_sample_rate": 16000,
    "window_size_s": 2,
    "num_epochs": 100,
    "comet_key": "YOUR KEY",
    "comet_project": "YOUR PROJECT",
    "vis_train_art_every": 5,
    "vis_train_metrics_every": 1,
    "val_every": 25,
    "vis_val_art_every": 5,
    "val_max_epochs": 1,
    "backup_every": 50,
    "save_every": 25,
    "scheduler_factor": 0.6,
    "scheduler_patience": 3,
    "weight_decay": 0,
    "learning_rate_init": 1e-6,
    "force_restart": True,
    "device": "cpu",
    "aug_device": "cpu",
    "num_workers": 2,
    "speakers_per_batch": 6,
    "utterances_per_speaker": 8,
    "val_speakers_per_batch": 4,
    "val_utterances_per_speaker": 8,
    "activation_function": None,
    "use_data_augmentation": True,
    "augment_noises_paths": ["n1", "n2"],
    "augment_musics_paths": ["m1", "m2", "m3", "m4", "m5"],
    "augment_reverbs_paths": "r",
    "data_parallel": [0, 1, 2, 3],
    "annote_point": False,
}


def read(tmp_path, **changes):
    values = {key: value for key, value in (SHIPPED | changes).items() if value != "gone"}
    path = tmp_path / "train_config.json"
    path.write_text(json.dumps(values, indent="\t"))
    return read_train_config(path)


def test_the_shipped_file_says_what_it_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    config, device = read(tmp_path)
    data, training, mixed = config.data, config.training, config.data.augmentation
    assert device == "cpu"
    assert config.model.speaker_encoder_type == "wavlm"
    assert config.model.wavlm.name == "wavlm-base-plus-sv"
    assert (training.init_from, training.loss, training.trained) == ("published", "ge2e", "all")
    assert (data.train_data, data.val_data) == ("../datasets/vc1/train", "../datasets/vc1/val")
    assert (data.layout, data.crop_seconds, data.workers) == ("speakers", (2.0, 2.0), 2)
    assert (data.speakers_per_batch, config.utterances_per_speaker) == (6, 8)
    assert (mixed.noise_paths, mixed.reverb_paths) == (("n1", "n2"), ("r",))
    assert len(mixed.music_paths) == 5 and mixed.probability == 0.6
    assert mixed.noise_snr == mixed.music_snr == (10.0, 15.0)
    assert training.output_dir == "wavlm-base-plus-sv/wavlm-base-plus-sv_run"
    assert (training.epochs, training.speaker.learning_rate) == (100, 1e-6)
    assert (training.validate_every, training.checkpoint_every) == (25, 25)
    assert (training.plateau_factor, training.plateau_patience) == (0.6, 3)
    assert training.speaker.final_lr_fraction == 1 and not training.resume
    for key in ("comet_key", "data_parallel", "val_speakers_per_batch"):
        assert f"{key} has no effect" in caplog.text


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"val_data_root": None}, "data.val_data", None),
        ({"multi_rec_session": True}, "data.layout", "sessions"),
        ({"use_data_augmentation": False}, "data.augmentation.noise_paths", []),
        ({"train_only_head": True}, "training.trained", "head"),
        ({"force_restart": False}, "training.resume", True),
        ({"model_name": "ecapa"}, "model.speaker_encoder_type", "ecapa_tdnn"),
        ({"model_name": "ecapa-untrained"}, "training.init_from", None),
        ({"model_name": "wavlm-large", "enlarge_head": True}, "model.wavlm.head_dim", 1024),
        ({"save_every": 0, "backup_every": 70}, "training.checkpoint_every", 70),
        ({"vis_val_art_every": 0}, "training.pictures", False),
        (
            {"accumalate_gradient_every_scheduler": True, "scheduler_metrics_avg_every": 4},
            "training.gradient_accumulation",
            4,
        ),
        (
            {"augment_noise_paths": "n", "augment_noises_paths": "gone"},
            "data.augmentation.noise_paths",
            ["n"],
        ),
    ],
)
def test_keys_do_what_they_say(tmp_path, changes, name, value):
    found = to_dict(read(tmp_path, **changes)[0])
    for part in name.split("."):
        found = found[part]
    assert found == value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_size": 2}, "unknown key 'window_size'; did you mean 'window_size_s'"),
        ({"augment_noise_path": "n"}, "did you mean 'augment_noise_paths'"),
        ({"augment_noise_paths": "n"}, "augment_noises_paths and augment_noise_paths are one key"),
        ({"model_name": "wavlm-base-pluss-sv"}, "did you mean 'wavlm-base-plus-sv'"),
        ({"model_name": "gone"}, "model_name is missing"),
        ({"run_id": ""}, "run_id is missing"),
        ({"num_epochs": "100"}, "num_epochs must be of type int"),
        ({"model_sample_rate": 8000}, "every encoder here hears 16000 Hz"),
        ({"activation_function": "relu"}, "activation_function must be null"),
        ({"device": "gpu"}, "device is 'gpu'"),
        ({"enlarge_head": True}, "enlarge_head is for wavlm-large"),
        ({"model_name": "ecapa", "train_only_head": True}, "train_only_head is for a WavLM"),
        ({"learning_rate_init": 0.0}, "learning_rate_init is 0, which only a resumed run"),
        ({"utterances_per_speaker": 1}, "utterances_per_speaker must be at least 2"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, **changes)


@pytest.mark.parametrize("content", ["", "[1]", '{"model_name": '])
def test_files_that_are_no_objects_are_refused(tmp_path, content):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(ConfigError, match="c.json cannot be read"):
        read_train_config(tmp_path / "c.json")


def test_no_rate_takes_that_of_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / SHIPPED["model_name"] / SHIPPED["run_id"]
    folder.mkdir(parents=True)
    stored = SpeakerConfig().merged({"training": {"speaker": {"learning_rate": 3e-5}}})
    stored.to_yaml(folder / "config.yaml")
    config, _ = read(tmp_path, learning_rate_init=0, force_restart=False)
    assert config.training.speaker.learning_rate == 3e-5


def test_the_example_is_read_without_a_word(caplog):
    caplog.set_level(logging.INFO)
    path = Path(__file__).resolve().parents[3] / "examples" / "train_config.json"
    config, _ = read_train_config(path)
    assert config.data.augmentation.noise_paths == ("../datasets/musan",)
    assert caplog.text == ""


def test_every_key_of_the_file_is_known():
    assert SHIPPED.keys() - {"augment_noises_paths"} <= set(TrainConfig.__dataclass_fields__)


def arguments(*words):
    return parser().parse_args([str(word) for word in words])


@pytest.mark.parametrize("flag", ["--config", "--config_path"])
def test_flags_beat_the_file(tmp_path, flag, capsys):
    read(tmp_path)
    words = (flag, tmp_path / "train_config.json", "--val-data", "other", "--dry-run")
    main(arguments(*words))
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["data"]["val_data"] == "other"
    assert printed["data"]["speakers_per_batch"] == 6


def test_a_yaml_file_and_ranges_on_the_command_line(tmp_path):
    (tmp_path / "c.yaml").write_text("training: {loss: aam_softmax}\n")
    words = ("--config", tmp_path / "c.yaml", "--crop-seconds", "1,1.5", "--aam-margin", "0.3")
    config, device = resolve(arguments(*words))
    assert config.data.crop_seconds == (1.0, 1.5) and config.training.aam_margin == 0.3
    assert device == "best"


def test_flags_of_another_loss_are_refused():
    with pytest.raises(ConfigError, match="--aam-margin is for --loss aam_softmax"):
        resolve(arguments("--aam-margin", "0.3"))
