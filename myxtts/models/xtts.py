"""XTTS: tokenizer, DVAE, audio encoder, GPT and decoder, composed."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.mel import MelNorm
from myxtts.config import XTTSConfig
from myxtts.errors import CheckpointError
from myxtts.models.audio_encoder import AudioEncoder
from myxtts.models.decoder import make_decoder
from myxtts.models.dvae import DVAE
from myxtts.models.gpt import GPT
from myxtts.presets.folder import check_file, load, read_config, save
from myxtts.presets.hub import located
from myxtts.presets.quantised import INT8
from myxtts.presets.record import XTTS_KIND, Record
from myxtts.presets.variables import named_parts
from myxtts.settings import to_dict
from myxtts.text.tokenizer import VoiceBpeTokenizer

__all__ = ["XTTS", "AudioEncoder"]

TOKENIZER = "tokenizer.json"
# The DVAE is needed for training and for Griffin-Lim only, and lies apart.
MAIN = "xtts.safetensors"
WEIGHTS = {
    MAIN: ("mel_norm", "audio_encoder", "gpt", "decoder"),
    "dvae.safetensors": ("dvae",),
}


class XTTS(keras.Model):
    """The parts of an XTTS and the folder they are kept in.

    Every part is built at once, so that weights can be loaded without data.

    Args:
        config: sizes and kind of audio encoder.
        tokenizer: its text vocabulary; needed to speak and to save.

    Attributes:
        dvae, audio_encoder, gpt, decoder: the models.
        mel_norm: divides the log-mels of the DVAE by the corpus's statistics.
        trained_steps: optimiser steps each training stage has made.
        source: SHA-256 of each file the model was converted from, empty for one trained here.
        licence: of the weights it was converted from or fine-tuned from, else None.
        fingerprint: SHA-256 of the weights file of its preset, ``"unsaved"`` without one.
        quantised: ``int8`` where the GPT's matrices came from integers, else None; saved again,
            they are the same integers.
        quantised_from: the fingerprint of the model they were rounded from, whose voices are
            this one's, since its audio encoder is the same; None where there is none.
        preset: the folder that it was read from, None for one that was not.
        vocoder_errors: mel errors of ``griffin_lim`` and of the decoder's vocoder (``hifi`` or
            ``istft``) on validation speech, empty until the decoder stage has measured them.
    """

    def __init__(self, config: XTTSConfig, tokenizer: VoiceBpeTokenizer | None = None):
        super().__init__(name="xtts")
        self.config = config
        self.tokenizer = tokenizer
        self.trained_steps: dict[str, int] = {}
        self.vocoder_errors: dict[str, float] = {}
        self.source: dict[str, str] = {}
        self.licence: str | None = None
        self.fingerprint = "unsaved"
        self.quantised: str | None = None
        self.quantised_from: str | None = None
        self.preset: Path | None = None
        self.dvae = DVAE.from_section(config.model.dvae)
        self.mel_norm = MelNorm(XTTS_DVAE.n_mels, name="mel_norm")
        self.audio_encoder = AudioEncoder(config.model)
        self.gpt = GPT.from_section(config.model)
        self.decoder = make_decoder(config.model)
        self.build()

    def build(self, input_shape=None):
        for part in self.parts().values():
            if not part.built:
                part.build(None)
        self.built = True

    def parts(self) -> dict[str, keras.layers.Layer]:
        """Models and layers with weights, by attribute name."""
        names = ("dvae", "mel_norm", "audio_encoder", "gpt", "decoder")
        return {name: getattr(self, name) for name in names}

    def set_mel_stats(self, stats: np.ndarray) -> None:
        """Set the per-channel statistics ``(80,)`` that log-mels are divided by."""
        self.mel_norm.mel_stats.assign(stats)
        own = getattr(self.audio_encoder, "mel_norm", None)
        if own is not None:
            own.mel_stats.assign(stats)

    @property
    def encoder_provenance(self) -> str | None:
        """Where a pretrained speaker encoder's weights came from; None in ``original`` mode."""
        return getattr(self.audio_encoder.speaker_encoder, "provenance", None)

    def take_record(self, other: Record | XTTS) -> None:
        """Take over what ``other`` knows of where its weights came from and their training."""
        for name in ("trained_steps", "vocoder_errors", "source"):
            setattr(self, name, dict(getattr(other, name)))
        self.licence = other.licence
        if self.encoder_provenance is not None:
            self.audio_encoder.speaker_encoder.provenance = other.encoder_provenance

    def save_to_preset(
        self, folder: str | Path, half: bool = False, quantise: str | None = None
    ) -> None:
        """Write the model to ``folder``.

        Args:
            folder: new, empty or a preset's.
            half: matrices are written in float16.
            quantise: ``int8`` writes those of the GPT's blocks as int8 with a scale a channel.

        Raises:
            CheckpointError: it has no tokenizer, or as :func:`myxtts.presets.folder.save`
                says.
        """
        if self.tokenizer is None:
            raise CheckpointError("a model without a tokenizer cannot be saved as a preset.")
        encoder = self.audio_encoder.speaker_encoder
        record = Record(
            XTTS_KIND,
            encoder_provenance=self.encoder_provenance,
            licence=self.licence or getattr(encoder, "licence", None),
            source=self.source,
            trained_steps=self.trained_steps,
            vocoder_errors=self.vocoder_errors,
            quantised=quantise or self.quantised,
            quantised_from=self.quantised_from,
            parameters={name: part.count_params() for name, part in self.parts().items()},
        )
        writers = {TOKENIZER: self.tokenizer.save}
        weights = self.weight_files()
        int8 = self._named_matrices(weights[MAIN]) if record.quantised == INT8 else ()
        save(folder, record, to_dict(self.config), weights, writers, half, int8)
        self.fingerprint = record.sha256[MAIN]

    @classmethod
    def from_preset(cls, folder: str | Path, config: XTTSConfig | None = None) -> XTTS:
        """Read a model written by :meth:`save_to_preset`.

        Args:
            folder: the preset, or its address (``hf://owner/name``), see
                :func:`myxtts.presets.hub.fetched`.
            config: to use instead of the stored one; its sizes must be the same.

        Raises:
            CheckpointError: the folder is no preset of an XTTS, or its weights do not fit
                its configuration.
        """
        folder = located(folder)
        stored = read_config(folder, XTTS_KIND, XTTSConfig)
        check_file(folder / TOKENIZER)
        model = cls(config or stored, VoiceBpeTokenizer(folder / TOKENIZER))
        record = load(folder, XTTS_KIND, model.weight_files())
        model.take_record(record)
        model.fingerprint = record.sha256[MAIN]
        model.quantised, model.quantised_from = record.quantised, record.quantised_from
        model.preset = folder
        return model

    def _named_matrices(self, variables: dict) -> set[str]:
        """Which of the named variables are matrices of the GPT."""
        own = {id(matrix) for matrix in self.gpt.matrices}
        return {name for name, variable in variables.items() if id(variable) in own}

    def weight_files(self) -> dict[str, dict]:
        """Variables of each weights file of a preset."""
        parts = self.parts()
        return {
            file: named_parts({name: parts[name] for name in names})
            for file, names in WEIGHTS.items()
        }
