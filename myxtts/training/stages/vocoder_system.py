"""A WaveRNN as it is trained: what it starts from, its data, its preset."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

from myxtts.data.plan import BatchPlan
from myxtts.data.vocoder import VocoderCorpus, open_vocoder_data
from myxtts.models.wavernn import KIND, WaveRNN
from myxtts.presets.folder import read_config
from myxtts.training.folders import has_checkpoints
from myxtts.training.stage import System
from myxtts.training.stages import vocoder
from myxtts.training.start import CONFIG, open_corpora
from myxtts.vocoder_config import VocoderConfig, WaveRNNConfig
from myxtts.weights import rtvc_vocoder
from myxtts.weights.rtvc import Adam

logger = logging.getLogger(__name__)


class VocoderModel:
    """A WaveRNN with what its training needs to know.

    Args:
        network: what learns.
        adam: state of its optimizer before the first step of this run; None for a new one.
        config: of the run.
        validation: utterances that it is judged by, and that are spoken.
        run_dir: where files of RTVC go.
    """

    def __init__(
        self,
        network: WaveRNN,
        adam: Adam | None,
        config: VocoderConfig,
        validation: VocoderCorpus,
        run_dir: Path,
    ):
        self.network, self.adam, self.config = network, adam, config
        self.validation, self.run_dir = validation, run_dir
        self.before = network.trained_steps
        self.trained_steps: dict[str, int] = {}

    def save_to_preset(self, folder: Path) -> None:
        """Write the network, with the steps behind it."""
        self.network.trained_steps = self.before + self.trained_steps.get("vocoder", 0)
        if self.trained_steps.get("vocoder"):
            # What was learned here is no longer the file that it began with.
            self.network.provenance = None
        self.network.save_to_preset(folder)


def complete(config: VocoderConfig) -> VocoderConfig:
    """``config`` with the sizes of the vocoder it starts from; those of a run win.

    Raises:
        WeightsError: the file is no vocoder.
        CheckpointError: the folder is no preset of one.
    """
    source, run = config.training.init_from, Path(config.training.output_dir) / CONFIG
    if source is None:
        return config
    if run.is_file():
        return replace(config, model=VocoderConfig.from_yaml(run).model)
    return replace(config, model=_sizes(source))


def prepare(
    config: VocoderConfig, run_dir: Path
) -> tuple[VocoderModel, VocoderCorpus, VocoderCorpus]:
    """The network, what it learns from, and what it is judged by."""
    network, adam = start(config, run_dir)
    train, validation = open_corpora(
        config, run_dir, partial(open_vocoder_data, data=config.data, sizes=config.model)
    )
    training = config.training
    size = training.vocoder.batch_size
    epoch = BatchPlan(train.lengths, train.speakers, size, training.seed).steps_per_epoch
    logger.info("%d utterances; %d batches are an epoch", len(train), epoch)
    if training.epochs:
        steps = max(training.epochs * epoch // training.gradient_accumulation, 1)
        config = config.merged({"training": {"vocoder": {"steps": steps}}})
    model = VocoderModel(network, adam, config, validation, run_dir)
    return model, train, validation


def start(config: VocoderConfig, run_dir: Path) -> tuple[WaveRNN, Adam | None]:
    """The network before its first step, and the state of its Adam.

    A run that is resumed has both in its checkpoints.
    """
    source = config.training.init_from
    resumed = has_checkpoints(run_dir, "vocoder")
    if source is None or (resumed and not Path(source).exists()):
        network = WaveRNN(config.model)
        network.build()
        return network, None
    if Path(source).is_dir():
        return WaveRNN.from_preset(source), None
    return rtvc_vocoder.open_vocoder(source)


def _sizes(source: str) -> WaveRNNConfig:
    if Path(source).is_dir():
        return read_config(source, KIND, WaveRNNConfig)
    return rtvc_vocoder.sizes_of(rtvc_vocoder.read(source).arrays)


VOCODER_SYSTEM = System((vocoder.STAGE,), prepare, complete=complete)
