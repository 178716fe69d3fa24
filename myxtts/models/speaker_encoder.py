"""The switch over pretrained speaker encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from keras import ops

from myxtts.config import SPEAKER_ENCODER_TYPES, CoquiEncoderConfig, ECAPAConfig, ModelConfig
from myxtts.errors import ConfigError, WeightsError
from myxtts.losses import ContrastiveSpeakerLoss, GE2ELoss
from myxtts.models.coqui_resnet import CoquiSpeakerEncoder
from myxtts.models.ecapa_tdnn import ECAPATDNN
from myxtts.models.resemblyzer import ResemblyzerEncoder
from myxtts.models.wavlm import WavLMEncoder
from myxtts.presets.folder import load, read_config, save
from myxtts.presets.record import Record, read_record
from myxtts.presets.variables import named
from myxtts.settings import to_dict
from myxtts.wavlm_config import WavLMConfig

__all__ = [
    "RANDOM",
    "ContrastiveSpeakerLoss",
    "GE2ELoss",
    "PretrainedSpeakerEncoder",
]

# Provenance of weights that nobody has trained.
RANDOM = "random"
KIND = "speaker_encoder"
WEIGHTS = "speaker_encoder.safetensors"

Sizes = ECAPAConfig | CoquiEncoderConfig | WavLMConfig | None
# Sections of ``ModelConfig`` with the sizes of an encoder. Resemblyzer has one size.
SECTIONS = {"ecapa_tdnn": "ecapa", "coqui": "coqui_encoder", "wavlm": "wavlm"}
_CLASSES = {"coqui": CoquiSpeakerEncoder, "wavlm": WavLMEncoder}


class PretrainedSpeakerEncoder(keras.layers.Layer):
    """A speaker encoder whose weights come from its upstream project.

    ``(batch, samples)`` at 16 kHz becomes ``(batch, embedding_dim)`` of length one.
    The weights are loaded by
    :func:`myxtts.weights.speaker_encoders.load_pretrained_speaker_encoder` or with a
    preset; until then the provenance is ``"random"`` and a call is an error.

    Args:
        encoder_type: ``ecapa_tdnn``, ``resemblyzer``, ``coqui`` or ``wavlm``.
        freeze: keep weights and batch-norm statistics fixed while training.
        sizes: of an encoder other than the published one.
        precision: policy of ``ecapa_tdnn`` and ``wavlm`` while they are trained. bfloat16 costs
            accuracy and saves nothing where an encoder is only used.

    Attributes:
        provenance: where the weights came from, with the SHA-256 of their file.
        licence: of the weights, None until there are some.

    Raises:
        ConfigError: the encoder type is unknown.
    """

    def __init__(
        self,
        encoder_type: str,
        freeze: bool = True,
        sizes: Sizes = None,
        precision: str = "float32",
        **kwargs,
    ):
        kwargs.setdefault("name", "speaker_encoder")
        # Audio must not be rounded to half precision before the encoder hears it.
        super().__init__(autocast=False, **kwargs)
        if encoder_type not in SPEAKER_ENCODER_TYPES:
            known = ", ".join(SPEAKER_ENCODER_TYPES)
            raise ConfigError(f"unknown speaker encoder {encoder_type!r}; choose one of {known}.")
        self.encoder_type = encoder_type
        self.freeze = freeze
        self.sizes = sizes or _sizes(ModelConfig(), encoder_type)
        self.provenance = RANDOM
        self.licence: str | None = None
        self.encoder = _make(encoder_type, self.sizes, precision)

    @classmethod
    def from_section(cls, section: ModelConfig, **kwargs) -> PretrainedSpeakerEncoder:
        """Build as the ``model`` section of a configuration says."""
        kind = section.speaker_encoder_type
        return cls(kind, section.freeze_speaker_encoder, _sizes(section, kind), **kwargs)

    def section(self) -> dict:
        """Plain values of the ``model`` section that makes this encoder."""
        values = {"speaker_encoder_type": self.encoder_type, "freeze_speaker_encoder": self.freeze}
        return values | ({SECTIONS[self.encoder_type]: to_dict(self.sizes)} if self.sizes else {})

    @property
    def embedding_dim(self) -> int:
        """Size of the embedding."""
        return self.encoder.embedding_dim

    @property
    def precision(self) -> str:
        """Name of the policy it computes under; most encoders are float32 whatever the run is."""
        return self.encoder.dtype_policy.name

    def build(self, input_shape=None):
        self.encoder.build()
        # Not before: layers that are only made in build() would not hear of it.
        self.encoder.trainable = not self.freeze
        self.built = True

    def call(self, audio, lengths=None, training=False):
        """Embed; ``lengths`` int ``(batch,)`` in samples, None for no padding.

        Raises:
            WeightsError: no weights have been loaded.
        """
        self._require_weights()
        embedding = self.encoder(audio, lengths, training=training and not self.freeze)
        embedding = ops.normalize(ops.cast(embedding, "float32"), axis=-1, epsilon=1e-12)
        return ops.stop_gradient(embedding) if self.freeze else embedding

    def get_config(self) -> dict:
        return {"name": self.name, "model": self.section()}

    @classmethod
    def from_config(cls, config: dict) -> PretrainedSpeakerEncoder:
        """Make the encoder that ``get_config`` describes."""
        return cls.from_section(ModelConfig().merged(config["model"]), name=config["name"])

    def save_to_preset(self, folder: str | Path, half: bool = False) -> None:
        """Write the encoder to ``folder``, with ``half`` its matrices in float16.

        Raises:
            WeightsError: no weights have been loaded.
            CheckpointError: as :func:`myxtts.presets.folder.save` says.
        """
        self._require_weights()
        record = Record(
            KIND,
            provenance=self.provenance,
            licence=self.licence,
            parameters={"encoder": self.encoder.count_params()},
        )
        save(folder, record, self.section(), {WEIGHTS: self.variables_by_name()}, half=half)

    @classmethod
    def from_preset(cls, folder: str | Path) -> PretrainedSpeakerEncoder:
        """Read an encoder written by :meth:`save_to_preset`.

        Raises:
            CheckpointError: the folder is no preset of a speaker encoder, or damaged.
            WeightsError: its weights are random.
        """
        encoder = cls.from_section(read_config(folder, KIND, ModelConfig))
        encoder.build()
        record = read_record(Path(folder), KIND)
        encoder.provenance, encoder.licence = record.provenance or RANDOM, record.licence
        encoder._require_weights()
        load(folder, KIND, {WEIGHTS: encoder.variables_by_name()})
        return encoder

    def variables_by_name(self) -> dict:
        """Variables of the upstream's network under their paths in it."""
        return named(self.encoder.weights, self.encoder.name)

    def _require_weights(self) -> None:
        if self.provenance == RANDOM:
            raise WeightsError(
                f"the {self.encoder_type} speaker encoder has random weights; load its pretrained "
                "weights before it is used."
            )


def _sizes(section: ModelConfig, encoder_type: str) -> Sizes:
    return getattr(section, SECTIONS[encoder_type]) if encoder_type in SECTIONS else None


def _make(encoder_type: str, sizes: Sizes, precision: str) -> Any:
    """The encoder, under its own precision whatever the run's is."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        if encoder_type == "resemblyzer":
            return ResemblyzerEncoder(name="encoder")
        if encoder_type == "ecapa_tdnn":
            return ECAPATDNN.from_section(sizes, name="encoder", precision=precision)
        return _CLASSES[encoder_type].from_section(sizes, name="encoder")
    finally:
        keras.config.set_dtype_policy(policy)
