"""A Tacotron as it is trained: what it starts from, its data, its preset."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

from myxtts.data.synthesizer import SynthesizerCorpus, open_synthesizer_data, place
from myxtts.errors import CheckpointError, ConfigError
from myxtts.files import read_object, write_whole
from myxtts.models.tacotron import KIND, Tacotron
from myxtts.presets.folder import read_config
from myxtts.synthesizer_config import SynthesizerConfig, SynthesizerPreset
from myxtts.text.symbols import SymbolTokenizer
from myxtts.training.folders import has_checkpoints
from myxtts.training.stage import System
from myxtts.training.stages import synthesizer
from myxtts.training.start import CONFIG, open_corpora
from myxtts.weights import rtvc_synthesizer

logger = logging.getLogger(__name__)

# In the run folder: how many steps came before it.
ORIGIN = "origin.json"


class SynthesizerModel:
    """A Tacotron with what its training needs to know.

    Args:
        network: what learns.
        config: of the run.
        validation: corpus that it is judged by.
        run_dir: where files of RTVC go.
        before: steps made before the run.
        source: RTVC's file whose optimizer goes on; None for a new one.
    """

    def __init__(
        self,
        network: Tacotron,
        config: SynthesizerConfig,
        validation: SynthesizerCorpus,
        run_dir: Path,
        before: int,
        source: Path | None,
    ):
        self.network, self.config, self.validation = network, config, validation
        self.run_dir, self.before, self.source = run_dir, before, source
        self.trained_steps: dict[str, int] = {}

    def save_to_preset(self, folder: Path) -> None:
        """Write the network, with the steps behind it."""
        if self.trained_steps.get(KIND):
            # What was learned here is no longer the file that it began with.
            self.network.provenance, self.network.source = None, {}
        self.network.save_to_preset(folder)


def complete(config: SynthesizerConfig) -> SynthesizerConfig:
    """``config`` with the sizes of the synthesizer it starts from; those of a run win.

    How it attends and stops, and its dropout, stay as configured.

    Raises:
        WeightsError: the file is no synthesizer.
        CheckpointError: the folder is no preset of one.
    """
    source, run = config.training.init_from, Path(config.training.output_dir) / CONFIG
    if source is None:
        return config
    if run.is_file():
        return replace(config, model=SynthesizerConfig.from_yaml(run).model)
    if Path(source).is_dir():
        return replace(config, model=read_config(source, KIND, SynthesizerPreset).model)
    read = rtvc_synthesizer.read(source, config.model.symbols, config.model)
    return replace(config, model=read.config)


def prepare(
    config: SynthesizerConfig, run_dir: Path
) -> tuple[SynthesizerModel, SynthesizerCorpus, SynthesizerCorpus]:
    """The network, what it learns from, and what it is judged by.

    Raises:
        ConfigError: nothing of the schedule is left to do.
    """
    network, source = start(config, run_dir)
    before = _before(network, run_dir)
    tokenizer = SymbolTokenizer(config.model.symbols, config.data.cleaners)
    opened = partial(
        open_synthesizer_data, data=config.data, tokenizer=tokenizer, sizes=config.model
    )
    train, validation = open_corpora(config, run_dir, opened)
    phases = config.training.phases
    left = phases[-1].until - before
    if left <= 0:
        raise ConfigError(
            f"the synthesizer has made {before} steps, and training.schedule ends at "
            f"{phases[-1].until}: nothing is left to do."
        )
    steps = min(config.training.synthesizer.steps or left, left)
    config = config.merged({"training": {"synthesizer": {"steps": steps}}})
    train.start = validation.start = before
    network.r = validation.r = phases[place(phases, before)].r
    logger.info("%d utterances; step %d of %d", len(train), before, phases[-1].until)
    model = SynthesizerModel(network, config, validation, run_dir, before, source)
    return model, train, validation


def start(config: SynthesizerConfig, run_dir: Path) -> tuple[Tacotron, Path | None]:
    """The network before its first step, and RTVC's file with the state of its Adam.

    A run that is resumed has both in its checkpoints.
    """
    source = config.training.init_from
    if source is None or has_checkpoints(run_dir, KIND):
        network = Tacotron(config.model)
        network.build()
        return network, None
    if Path(source).is_dir():
        return Tacotron.from_preset(source), None
    return rtvc_synthesizer.read(source, config.model.symbols, config.model), Path(source)


def _before(network: Tacotron, run_dir: Path) -> int:
    """Steps made before the run, which the first call of it writes down."""
    path = run_dir / ORIGIN
    if has_checkpoints(run_dir, KIND) and path.is_file():
        return int(read_object(path, CheckpointError, "is damaged").get("steps", 0))
    write_whole(path, json.dumps({"steps": network.step}))
    return network.step


SYNTHESIZER_SYSTEM = System((synthesizer.STAGE,), prepare, complete=complete)
