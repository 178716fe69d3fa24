"""What the record of an export says of its model: the settings that it speaks best with."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

from myxtts.config import SynthesisConfig
from myxtts.errors import ConfigError, WeightsError
from myxtts.text.front_end import in_phonemes

logger = logging.getLogger(__name__)

RECORD = Path("assets.extra") / "serving.json"


def recorded_settings(export: str | Path) -> SynthesisConfig:
    """The package's settings with the model's own sampling and front-end.

    Where the front-end's package is not installed, a warning says so once, and letters are sent.

    Args:
        export: folder of a version as it is served, of a model (its newest version counts),
            or a copy of ``assets.extra/serving.json``.

    Raises:
        ConfigError: there is no such record, or it is damaged.
    """
    path = _record_in(Path(export))
    try:
        defaults = json.loads(path.read_text(encoding="utf-8"))["defaults"]
        if not isinstance(defaults, dict):
            raise TypeError("its defaults are no mapping")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path} is no record of a served XTTS: {error!r}.") from error
    return _readable(SynthesisConfig().merged(defaults, source=str(path)))


def _readable(settings: SynthesisConfig) -> SynthesisConfig:
    """``settings`` without a front-end that is not here."""
    try:
        in_phonemes("ready", "en", settings.front_end)
    except WeightsError as error:
        logger.warning("letters are sent where the model wants phonemes: %s", error)
        return dataclasses.replace(settings, front_end="none")
    return settings


def _record_in(export: Path) -> Path:
    if export.is_file():
        return export
    versions = [path for path in export.glob("*") if path.name.isdigit()]
    newest = sorted(versions, key=lambda path: int(path.name), reverse=True)
    for folder in (export, *newest):
        if (folder / RECORD).is_file():
            return folder / RECORD
    raise ConfigError(f"{export} is no export of a model: there is no {RECORD} in it.")
