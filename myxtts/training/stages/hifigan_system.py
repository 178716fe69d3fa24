"""A HiFi-GAN of mels as it is trained: what it starts from, its data, its preset."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from myxtts.data.vocoder import VocoderCorpus, open_vocoder_data
from myxtts.models.mel_hifigan import KIND, MelHifiGan
from myxtts.presets.folder import read_config
from myxtts.training.folders import has_checkpoints
from myxtts.training.stage import System
from myxtts.training.stages import hifigan
from myxtts.training.start import CONFIG, open_corpora
from myxtts.vocoder_config import HIFIGAN_STAGE, HifiGanConfig, HifiGanSettings


class HifiGanModel:
    """A HiFi-GAN of mels with what its training needs to know.

    Args:
        network: what learns.
        config: of the run.
        validation: utterances that are spoken.
    """

    def __init__(self, network: MelHifiGan, config: HifiGanSettings, validation: VocoderCorpus):
        self.network, self.config, self.validation = network, config, validation
        self.before = network.trained_steps
        self.trained_steps: dict[str, int] = {}

    def save_to_preset(self, folder: Path) -> None:
        """Write the network, with the steps behind it."""
        own = self.trained_steps.get(HIFIGAN_STAGE, 0)
        self.network.trained_steps = self.before + own
        if own:
            # What was learned here is no longer what it began with.
            self.network.provenance = None
        self.network.save_to_preset(folder)


def complete(config: HifiGanSettings) -> HifiGanSettings:
    """``config`` with the sizes of the preset it starts from; those of a run win.

    Raises:
        CheckpointError: the folder is no preset of a HiFi-GAN of mels.
    """
    source, run = config.training.init_from, Path(config.training.output_dir) / CONFIG
    if source is None:
        return config
    if run.is_file():
        return replace(config, model=HifiGanSettings.from_yaml(run).model)
    return replace(config, model=read_config(source, KIND, HifiGanConfig))


def prepare(
    config: HifiGanSettings, run_dir: Path
) -> tuple[HifiGanModel, VocoderCorpus, VocoderCorpus]:
    """The network, what it learns from, and what it is judged by."""
    source = config.training.init_from
    resumed = has_checkpoints(run_dir, HIFIGAN_STAGE)
    if source is None or (resumed and not Path(source).exists()):
        network = MelHifiGan(config.model)
        network.build()
    else:
        network = MelHifiGan.from_preset(source)
    train, validation = open_corpora(
        config, run_dir, partial(open_vocoder_data, data=config.data, sizes=config.model)
    )
    return HifiGanModel(network, config, validation), train, validation


HIFIGAN_SYSTEM = System((hifigan.STAGE,), prepare, complete=complete)
