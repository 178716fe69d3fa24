"""HiFi-GAN (Kong et al. 2020) as a vocoder of mel spectrograms: all samples at once."""

from __future__ import annotations

import math
from pathlib import Path

import keras

from myxtts.models.hifigan import HifiDecoder
from myxtts.presets.folder import load, read_config, save
from myxtts.presets.record import Record, read_record
from myxtts.presets.variables import named
from myxtts.settings import to_dict
from myxtts.vocoder_config import HIFIGAN_STAGE, HifiGanConfig

KIND = "hifigan_vocoder"
WEIGHTS = "vocoder.safetensors"


class MelHifiGan(keras.Model):
    """Mels ``(batch, frames, feat_dims)`` in [-1, 1] to waveforms ``(batch, frames * hop_length)``.

    Args:
        config: its sizes.

    Attributes:
        provenance, licence, trained_steps: of its weights, as presets tell them.
    """

    def __init__(self, config: HifiGanConfig | None = None, name: str = "mel_hifigan", **kwargs):
        super().__init__(name=name, **kwargs)
        self.sizes = sizes = config or HifiGanConfig()
        self.provenance: str | None = None
        self.licence: str | None = None
        self.trained_steps = 0
        self.decoder = HifiDecoder(
            sizes.feat_dims,
            0,
            sizes.initial_channels,
            sizes.upsample_rates,
            sizes.upsample_kernels,
            sizes.resblock_kernels,
            sizes.resblock_dilations,
            sizes.spectra_hop,
            name="decoder",
        )

    def build(self, input_shape=None):
        self.decoder.build()
        self.built = True

    def call(self, mels, training=False):
        return self.decoder.vocode(mels)

    def get_config(self) -> dict:
        return {"name": self.name, "config": to_dict(self.sizes)}

    @classmethod
    def from_config(cls, config: dict) -> MelHifiGan:
        """Make the model that ``get_config`` describes."""
        return cls(HifiGanConfig().merged(config["config"]), name=config["name"])

    def variables_by_name(self) -> dict:
        """Variables under their paths in the model."""
        return named(self.weights, self.name)

    def save_to_preset(self, folder: str | Path) -> None:
        """Write the model to ``folder``.

        Raises:
            CheckpointError: as :func:`myxtts.presets.folder.save` says.
        """
        record = Record(
            KIND,
            provenance=self.provenance,
            licence=self.licence,
            trained_steps={HIFIGAN_STAGE: self.trained_steps},
            parameters={"vocoder": sum(math.prod(v.shape) for v in self.trainable_variables)},
        )
        save(folder, record, to_dict(self.sizes), {WEIGHTS: self.variables_by_name()})

    @classmethod
    def from_preset(cls, folder: str | Path) -> MelHifiGan:
        """Read a model written by :meth:`save_to_preset`.

        Raises:
            CheckpointError: the folder is no preset of a HiFi-GAN of mels, or damaged.
        """
        model = cls(read_config(folder, KIND, HifiGanConfig))
        model.build()
        record = read_record(Path(folder), KIND)
        model.provenance, model.licence = record.provenance, record.licence
        model.trained_steps = record.trained_steps.get(HIFIGAN_STAGE, 0)
        load(folder, KIND, {WEIGHTS: model.variables_by_name()})
        return model
