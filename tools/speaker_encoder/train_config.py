"""``train_config.json`` of the original program: its keys, and what they are here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from myxtts.config import ENCODER_NAMES, SPEAKER_ENCODER_TYPES
from myxtts.errors import ConfigError
from myxtts.files import read_object
from myxtts.settings import Settings, nearest, setting
from myxtts.speaker_config import PUBLISHED, SpeakerConfig
from myxtts.timing import SPEAKER_RATE
from myxtts.wavlm_config import WAVLM_NAMES
from tools.speaker_encoder.device import DEVICES

logger = logging.getLogger(__name__)

Paths = tuple[str, ...]
UNTRAINED = "-untrained"
# The original's name of the published ECAPA-TDNN, and of those it has none for.
MODELS = {"ecapa": "ecapa_tdnn", **{name: name for name in ENCODER_NAMES}}
# As they stood in the original's code; the others are as its documentation has them.
ALIASES = {"augment_noises_paths": "augment_noise_paths"}
REQUIRED = ("model_name", "run_id", "train_data_root")
FOLDERS = ("augment_noise_paths", "augment_musics_paths", "augment_reverbs_paths")
ENLARGED = 1024
# Keys that are taken and change nothing, and why; said once where they are given.
IDLE = {
    "comet_key": "Comet's key is COMET_API_KEY in the environment, as a file is passed on",
    "vis_train_art_every": "pictures are drawn at validations",
    "vis_train_metrics_every": "figures of training are kept every 10 steps",
    "val_speakers_per_batch": "the trial EER has no batches of speakers",
    "val_utterances_per_speaker": "the trial EER has no batches of speakers",
    "val_max_epochs": "each validation hears every trial once",
    "scheduler_metrics": "the rate follows the trial EER of the speakers held out",
    "aug_device": "recordings are augmented by the processor",
    "data_parallel": "one device is used",
    "annote_point": "TensorBoard's projector names every point",
}


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Every documented key, with the default of the original's function where it has one."""

    model_name: str = setting("", "ecapa, resemblyzer, coqui or the name of a WavLM; -untrained")
    run_id: str = setting("", "folder of the run below that of the model's name")
    train_data_root: str = setting("", "folder of speakers' folders")
    val_data_root: str | None = setting(None, "the same of other speakers")
    multi_rec_session: bool = setting(False, "SPEAKER/SESSION/FILE instead of SPEAKER/FILE")
    model_sample_rate: int = setting(SPEAKER_RATE, "of the audio that the encoder hears")
    window_size_s: float = setting(2.0, "length of a crop", "seconds", above=0)
    num_epochs: int = setting(100, "passes over the recordings", at_least=1)
    comet_key: str | None = setting(None, "of the original's tracker")
    comet_project: str | None = setting(None, "project at Comet that is told the figures")
    vis_train_art_every: int = setting(0, "steps between pictures", at_least=0)
    vis_train_metrics_every: int = setting(1, "steps between figures", at_least=0)
    val_every: int = setting(25, "steps between validations", at_least=1)
    vis_val_art_every: int = setting(0, "validations between pictures; 0: none", at_least=0)
    val_max_epochs: int = setting(1, "passes over the validation folder", at_least=1)
    backup_every: int = setting(0, "steps between backups; 0: none", at_least=0)
    save_every: int = setting(25, "steps between checkpoints; 0: none", at_least=0)
    scheduler_factor: float = setting(0.6, "of the rate where it stalls", above=0, at_most=1)
    scheduler_patience: int = setting(3, "validations before that", at_least=1)
    scheduler_metrics: str | None = setting(None, "what the original's scheduler watched")
    scheduler_metrics_avg_every: int | None = setting(None, "steps it averaged", at_least=1)
    accumalate_gradient_every_scheduler: bool = setting(
        False, "average the gradients of so many steps as the scheduler averages"
    )
    weight_decay: float = setting(0.0, "weight decay", at_least=0)
    learning_rate_init: float = setting(0.0, "rate; 0: that of the run that is resumed", at_least=0)
    force_restart: bool = setting(True, "begin anew; false: go on where there is a checkpoint")
    device: str = setting("cpu", "cpu, cuda or best")
    aug_device: str = setting("best", "of the original's augmentation")
    num_workers: int = setting(2, "processes that read and augment", at_least=0, at_most=256)
    speakers_per_batch: int = setting(6, "speakers a batch", at_least=2)
    utterances_per_speaker: int = setting(8, "utterances of each", at_least=2)
    val_speakers_per_batch: int | None = setting(None, "of the original's validation")
    val_utterances_per_speaker: int | None = setting(None, "of the original's validation")
    activation_function: str | None = setting(None, "null: a file can name no function")
    train_only_head: bool = setting(False, "of a WavLM, learn the head alone")
    enlarge_head: bool = setting(False, "of wavlm-large, an embedding of 1024 numbers")
    use_data_augmentation: bool = setting(False, "noise, music and rooms on training recordings")
    augment_noise_paths: Paths = setting(("./noises",), "folders of noise")
    augment_musics_paths: Paths = setting(("./musics",), "folders of music")
    augment_reverbs_paths: Paths = setting(("./reverbs",), "folders of impulse responses")
    data_parallel: tuple[int, ...] | None = setting(None, "devices of the original")
    annote_point: bool = setting(False, "names in the original's pictures")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in REQUIRED:
            if not getattr(self, name):
                raise ConfigError(f"{name} is missing.")
        kind = self.model_name.removesuffix(UNTRAINED)
        if kind not in MODELS:
            raise ConfigError(f"model_name is {self.model_name!r}{nearest(kind, MODELS)}.")
        if self.model_sample_rate != SPEAKER_RATE:
            raise ConfigError(
                f"model_sample_rate is {self.model_sample_rate}; every encoder here hears "
                f"{SPEAKER_RATE} Hz. Recordings of any rate are resampled."
            )
        if self.activation_function is not None:
            raise ConfigError("activation_function must be null: a file can name no function.")
        if self.device not in DEVICES:
            raise ConfigError(f"device is {self.device!r}{nearest(self.device, DEVICES)}.")
        if self.enlarge_head and kind != "wavlm-large":
            raise ConfigError(f"enlarge_head is for wavlm-large, not for {self.model_name}.")
        if self.train_only_head and kind not in WAVLM_NAMES:
            raise ConfigError(f"train_only_head is for a WavLM, not for {self.model_name}.")


def read_train_config(path: str | Path) -> tuple[SpeakerConfig, str]:
    """The settings that a ``train_config.json`` stands for, and its ``device``.

    Raises:
        ConfigError: it cannot be read, a key is unknown (the nearest is named) or a value wrong.
    """
    values = read_object(Path(path), ConfigError, "cannot be read")
    for alias, name in ALIASES.items():
        if alias in values:
            if name in values:
                raise ConfigError(f"{path}: {alias} and {name} are one key; give one of them.")
            values[name] = values.pop(alias)
    for name in FOLDERS:
        if isinstance(values.get(name), str):
            values[name] = [values[name]]
    required = {name: values[name] for name in REQUIRED if values.get(name)}
    if missing := [name for name in REQUIRED if name not in required]:
        known = values.keys() - set(TrainConfig.__dataclass_fields__)
        hint = f" ({min(known)} is no key)" if known else ""
        raise ConfigError(f"{path}: {missing[0]} is missing{hint}.")
    base = TrainConfig(**{name: str(value) for name, value in required.items()})
    config = base.merged(values, str(path))
    for name in sorted(IDLE.keys() & values.keys()):
        logger.info("%s: %s has no effect: %s", path, name, IDLE[name])
    return converted(config, str(path)), config.device


def converted(own: TrainConfig, source: str = "train_config.json") -> SpeakerConfig:
    """The same in the settings of this package.

    Raises:
        ConfigError: a value is out of the range of its setting.
    """
    values = {"model": _model(own), "data": _data(own), "training": _training(own)}
    config = SpeakerConfig().merged(values, source)
    if own.learning_rate_init:
        return config
    stored = Path(config.training.output_dir) / "config.yaml"
    if own.force_restart or not stored.is_file():
        raise ConfigError(f"{source}: learning_rate_init is 0, which only a resumed run allows.")
    rate = SpeakerConfig.from_yaml(stored).training.speaker.learning_rate
    return config.merged({"training": {"speaker": {"learning_rate": rate}}})


def _model(own: TrainConfig) -> dict:
    name = MODELS[own.model_name.removesuffix(UNTRAINED)]
    if name in SPEAKER_ENCODER_TYPES:
        return {"speaker_encoder_type": name}
    wavlm: dict = {"name": name}
    if own.enlarge_head:
        wavlm["head_dim"] = ENLARGED
    return {"speaker_encoder_type": "wavlm", "wavlm": wavlm}


def _data(own: TrainConfig) -> dict:
    folders = dict(zip(("noise_paths", "music_paths", "reverb_paths"), FOLDERS, strict=True))
    mixed = {name: getattr(own, key) for name, key in folders.items()}
    augmentation = {**mixed, "noise_snr": [10.0, 15.0], "music_snr": [10.0, 15.0]}
    return {
        "train_data": own.train_data_root,
        "val_data": own.val_data_root,
        "layout": "sessions" if own.multi_rec_session else "speakers",
        "speakers_per_batch": own.speakers_per_batch,
        "crop_seconds": [own.window_size_s] * 2,
        "workers": max(own.num_workers, 1),
        "augmentation": augmentation if own.use_data_augmentation else {},
    }


def _training(own: TrainConfig) -> dict:
    untrained = own.model_name.endswith(UNTRAINED)
    intervals = [every for every in (own.save_every, own.backup_every) if every]
    averaged = own.scheduler_metrics_avg_every or 1
    accumulated = averaged if own.accumalate_gradient_every_scheduler else 1
    speaker: dict = {
        "batch_size": own.speakers_per_batch * own.utterances_per_speaker,
        "warmup_steps": 0,
        "final_lr_fraction": 1.0,
    }
    if own.learning_rate_init:
        speaker["learning_rate"] = own.learning_rate_init
    return {
        "output_dir": f"{own.model_name}/{own.run_id}",
        "init_from": None if untrained else PUBLISHED,
        "loss": "ge2e",
        "trained": "head" if own.train_only_head else "all",
        "speaker": speaker,
        "epochs": own.num_epochs,
        "weight_decay": own.weight_decay,
        "gradient_accumulation": accumulated,
        "plateau_factor": own.scheduler_factor,
        "plateau_patience": own.scheduler_patience,
        "validate_every": own.val_every,
        # Without any, one at the end.
        "checkpoint_every": min(intervals, default=2**31),
        "pictures": own.vis_val_art_every > 0,
        "pictures_every": max(own.vis_val_art_every, 1),
        "comet_project": own.comet_project or None,
        "resume": not own.force_restart,
    }
