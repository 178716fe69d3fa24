"""Where things lie in a folder of XTTS-v2: the published one's, a trainer's run, a fine-tune's."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from myxtts.errors import WeightsError
from myxtts.weights.torch_file import read_torch_step

logger = logging.getLogger(__name__)

COMMAND = "hf download coqui/XTTS-v2 --local-dir XTTS-v2"
CONFIGURATION, MODEL, VOCABULARY = "config.json", "model.pth", "vocab.json"
DVAE, MEL_STATS = "dvae.pth", "mel_stats.pth"
NEEDED = (CONFIGURATION, MODEL, VOCABULARY)
FILES = (*NEEDED, DVAE, MEL_STATS)
# Under which argument of its configuration a trainer keeps the path of a file.
ARGUMENTS = {VOCABULARY: "tokenizer_file", DVAE: "dvae_checkpoint", MEL_STATS: "mel_norm_file"}
# An argument that only a trainer's configuration has.
OF_TRAINERS = "xtts_checkpoint"
# Coqui's trainer writes these, ``best_model.pth`` as a copy of the newest best.
_BEST, _CHECKPOINT = (re.compile(rf"{name}_(\d+)\.pth") for name in ("best_model", "checkpoint"))


@dataclass(frozen=True)
class Checkpoint:
    """A folder and its file of weights.

    Attributes:
        folder: of the configuration.
        weights: file of the model's weights.
    """

    folder: Path
    weights: Path

    def find(self, name: str, args: Mapping[str, Any] | None = None) -> Path | None:
        """The file ``name`` beside the weights, else where the arguments say it lies, or None.

        Args:
            name: of a file of the published folder.
            args: ``model_args`` of the configuration; only a trainer's are asked, as it leaves
                these files elsewhere. A path of another machine is looked for beside the
                folder too: a trainer puts both below one.
        """
        args = args if args and OF_TRAINERS in args else {}
        stored = str(args.get(ARGUMENTS.get(name, "")) or "")
        places = [self.folder / name]
        if stored and "://" not in stored:
            # It parts Windows's paths and the others.
            parts = PureWindowsPath(stored).parts[-2:]
            places += [Path(stored), self.folder / parts[-1], self.folder.parent.joinpath(*parts)]
        found = next((place for place in places if _is_file(place)), None)
        if found is not None and found != places[0]:
            logger.info("%s is taken from %s, which the configuration names.", name, found)
        return found

    def require(self, name: str, args: Mapping[str, Any] | None = None) -> Path:
        """As :meth:`find`; raise ``WeightsError`` where there is none."""
        found = self.find(name, args)
        if found is None:
            raise WeightsError(
                f"{self.folder} lacks {name} of an XTTS-v2 checkpoint: put the one that belongs to "
                f"{self.weights.name} beside it; the published ones come with: {COMMAND}"
            )
        return found


def open_folder(source: str | Path) -> Checkpoint:
    """The checkpoint in the folder ``source``, or around the weights file ``source``.

    In a folder of several, it is the newest best model of a trainer, else ``model.pth``, else
    the trainer's newest checkpoint; which one is told.

    Raises:
        WeightsError: there is no such folder, or there are no weights in it.
    """
    source = Path(source)
    if source.is_file():
        return Checkpoint(source.parent, source)
    if not source.is_dir():
        raise WeightsError(f"there is no folder {source}; get one with: {COMMAND}")
    weights = _best(source) or _only(source / MODEL) or _newest(source, _CHECKPOINT)
    if weights is None:
        others = sorted(path.name for path in source.glob("*.pth"))
        others = [name for name in others if name not in (DVAE, MEL_STATS, "speakers_xtts.pth")]
        named = f" It holds {', '.join(others[:3])}: give one of them itself." if others else ""
        # Programs around the trainer keep its runs below their own folder.
        below = [path for part in ("*/*.pth", "*/*/*.pth") for path in source.glob(part)]
        if runs := sorted({path.parent for path in below if _is_model(path.name)}):
            named += f" {runs[-1]} has some: name that folder."
        raise WeightsError(
            f"{source} lacks {MODEL} of an XTTS-v2 checkpoint, and has no best_model.pth, "
            f"best_model_N.pth or checkpoint_N.pth of a trainer.{named} The published one comes "
            f"with: {COMMAND}"
        )
    found = [path for path in source.glob("*.pth") if path != weights and _is_model(path.name)]
    if found:
        names = ", ".join(sorted(path.name for path in found))
        logger.info("the weights are those of %s; there are %s too.", weights.name, names)
    return Checkpoint(source, weights)


def _is_model(name: str) -> bool:
    known = name in (MODEL, "best_model.pth")
    return known or any(pattern.fullmatch(name) for pattern in (_BEST, _CHECKPOINT))


def _best(folder: Path) -> Path | None:
    """The newest best model; the one without a number is, unless its own step is older."""
    plain, numbered = _only(folder / "best_model.pth"), _newest(folder, _BEST)
    if plain is None or numbered is None:
        return plain or numbered
    step = read_torch_step(plain)
    return numbered if step is not None and step < _number(numbered, _BEST) else plain


def _newest(folder: Path, pattern: re.Pattern) -> Path | None:
    found = [path for path in folder.glob("*.pth") if pattern.fullmatch(path.name)]
    return max(found, key=lambda path: _number(path, pattern), default=None)


def _number(path: Path, pattern: re.Pattern) -> int:
    return int(pattern.fullmatch(path.name)[1])


def _only(path: Path) -> Path | None:
    return path if path.is_file() else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
