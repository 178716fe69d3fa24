"""What every training run starts from: a folder of its own and two corpora."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from myxtts.data.corpus import Corpus
from myxtts.data.formats import TRAINING, VALIDATION
from myxtts.data.screening import Report
from myxtts.digests import check_beside, hashed_beside
from myxtts.errors import CheckpointError, ConfigError
from myxtts.files import mend_folder, sweep, writable_folder
from myxtts.settings import Settings, to_dict

logger = logging.getLogger(__name__)

CONFIG = "config.yaml"
PRESET = "preset"
# Without a validation corpus, every so many-th utterance is held out.
HOLD_OUT = 20


def prepare_folder(config: Settings) -> Path:
    """Make the run folder; a run of another model in it is an error."""
    if config.data.train_data is None:
        raise ConfigError("no training corpus: give --train-data (data.train_data).")
    run_dir = writable_folder(config.training.output_dir)
    if (run_dir / CONFIG).is_file():
        check_beside(run_dir / CONFIG, unhashed=False)
        stored = type(config).from_yaml(run_dir / CONFIG)
        changed = differing_keys(to_dict(stored.model), to_dict(config.model))
        if changed:
            raise CheckpointError(
                f"{run_dir} holds a run of another configuration (model.{changed[0]} differs); "
                "name another --output-dir."
            )
    return run_dir


def refuse_other_runs(run_dir: Path, stage: str) -> None:
    """See that a run folder has not been begun by the training of another model.

    Raises:
        ConfigError: there are checkpoints in it, and none of ``stage``.
    """
    begun = sorted(path.name for path in (run_dir / "checkpoints").glob("*") if path.is_dir())
    if begun and stage not in begun:
        raise ConfigError(
            f"{run_dir} holds the run of another model ({begun[0]}); give this one another name."
        )


def mend_run(run_dir: Path) -> None:
    """Complete or undo what a killed run left half done in its folder, which is locked."""
    mend_folder(run_dir / PRESET)
    sweep(run_dir)


def keep_config(config: Settings, run_dir: Path) -> None:
    """Write the configuration that a resumed run brings along.

    Raises:
        CheckpointError: it cannot be written.
    """
    with hashed_beside(run_dir / CONFIG):
        config.to_yaml(run_dir / CONFIG)


def open_corpora(
    config: Settings, run_dir: Path, open_one: Callable[[str], tuple[Corpus, Report]]
) -> tuple[Corpus, Corpus]:
    """Training and validation corpus; the reports on both are left in ``run_dir``.

    Without a validation corpus it is what Coqui's layout keeps for that in
    ``metadata_eval.csv``, else utterances of the training corpus.
    """
    train, report = open_one(config.data.train_data)
    report.write(run_dir / "data-train.json")
    val_data = config.data.val_data or _kept_for_validation(config.data.train_data)
    if val_data is None:
        _say_what_is_held_out(len(train))
        return train.split(HOLD_OUT)
    validation, report = open_one(val_data)
    report.write(run_dir / "data-validation.json")
    return train, validation


def _kept_for_validation(train_data: str) -> str | None:
    """The ``metadata_eval.csv`` of a corpus in Coqui's layout; None for any other."""
    folder = Path(train_data)
    folder = folder.parent if folder.name == TRAINING else folder
    path = folder / VALIDATION
    if not path.is_file() or not (folder / TRAINING).is_file():
        return None
    logger.info("no validation corpus was named: it is %s", path)
    return str(path)


def _say_what_is_held_out(utterances: int) -> None:
    if utterances >= HOLD_OUT:
        logger.info("no validation corpus: every %dth utterance is held out", HOLD_OUT)
    elif utterances > 1:
        logger.warning(
            "no validation corpus (--val-data), and %d utterances are few: one of them is held "
            "out, and what it says of the model is little.",
            utterances,
        )
    else:
        logger.warning(
            "no validation corpus (--val-data), and the only utterance cannot be held out: the "
            "model is judged by what it was trained on."
        )


def differing_keys(first: dict, second: dict, prefix: str = "") -> list[str]:
    """Dotted names of the leaves in which two nested dictionaries differ."""
    names = []
    for key in sorted(first.keys() | second.keys()):
        one, other = first.get(key), second.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            names += differing_keys(one, other, f"{prefix}{key}.")
        elif one != other:
            names.append(f"{prefix}{key}")
    return names
