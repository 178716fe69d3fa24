"""The switch over pretrained speaker encoders."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from myxtts.config import SPEAKER_ENCODER_TYPES, CoquiEncoderConfig, ECAPAConfig, ModelConfig
from myxtts.errors import ConfigError, WeightsError
from myxtts.losses import ContrastiveSpeakerLoss, GE2ELoss
from myxtts.models.coqui_resnet import CoquiSpeakerEncoder
from myxtts.models.ecapa_tdnn import ECAPATDNN
from myxtts.models.resemblyzer import ResemblyzerEncoder

__all__ = [
    "RANDOM",
    "ContrastiveSpeakerLoss",
    "GE2ELoss",
    "PretrainedSpeakerEncoder",
]

# Provenance of weights that nobody has trained.
RANDOM = "random"

Sizes = ECAPAConfig | CoquiEncoderConfig | None
# Resemblyzer has one size.
_SECTIONS = {"ecapa_tdnn": "ecapa", "coqui": "coqui_encoder"}
_SIZES = {"ecapa_tdnn": ECAPAConfig, "coqui": CoquiEncoderConfig}
_CLASSES = {"ecapa_tdnn": ECAPATDNN, "coqui": CoquiSpeakerEncoder}


class PretrainedSpeakerEncoder(keras.layers.Layer):
    """A speaker encoder whose weights come from its upstream project.

    ``(batch, samples)`` at 16 kHz becomes ``(batch, embedding_dim)`` of length one.
    The weights are loaded by
    :func:`myxtts.weights.speaker_encoders.load_pretrained_speaker_encoder` or with a
    preset; until then the provenance is ``"random"`` and a call is an error.

    Args:
        encoder_type: ``ecapa_tdnn``, ``resemblyzer`` or ``coqui``.
        freeze: keep weights and batch-norm statistics fixed while training.
        sizes: of an encoder other than the published one.

    Attributes:
        provenance: where the weights came from, with the SHA-256 of their file.

    Raises:
        ConfigError: the encoder type is unknown.
    """

    def __init__(self, encoder_type: str, freeze: bool = True, sizes: Sizes = None, **kwargs):
        kwargs.setdefault("name", "speaker_encoder")
        # Audio must not be rounded to half precision before the encoder hears it.
        super().__init__(autocast=False, **kwargs)
        if encoder_type not in SPEAKER_ENCODER_TYPES:
            known = ", ".join(SPEAKER_ENCODER_TYPES)
            raise ConfigError(f"unknown speaker encoder {encoder_type!r}; choose one of {known}.")
        self.encoder_type = encoder_type
        self.freeze = freeze
        self.sizes = sizes
        self.provenance = RANDOM
        self.encoder = _make(encoder_type, sizes)

    @classmethod
    def from_section(cls, section: ModelConfig, **kwargs) -> PretrainedSpeakerEncoder:
        """Build as the ``model`` section of a configuration says."""
        kind = section.speaker_encoder_type
        sizes = getattr(section, _SECTIONS[kind]) if kind in _SECTIONS else None
        return cls(kind, section.freeze_speaker_encoder, sizes, **kwargs)

    @property
    def embedding_dim(self) -> int:
        """Size of the embedding."""
        return self.encoder.embedding_dim

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
        if self.provenance == RANDOM:
            raise WeightsError(
                f"the {self.encoder_type} speaker encoder has random weights; load its pretrained "
                "weights before it is used."
            )
        embedding = self.encoder(audio, lengths, training=training and not self.freeze)
        embedding = ops.normalize(ops.cast(embedding, "float32"), axis=-1, epsilon=1e-12)
        return ops.stop_gradient(embedding) if self.freeze else embedding

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "encoder_type": self.encoder_type,
            "freeze": self.freeze,
            "sizes": dataclasses.asdict(self.sizes) if self.sizes else None,
        }

    @classmethod
    def from_config(cls, config: dict) -> PretrainedSpeakerEncoder:
        sizes = config.pop("sizes")
        if sizes is not None:
            sizes = _SIZES[config["encoder_type"]](**sizes)
        return cls(sizes=sizes, **config)


def _make(encoder_type: str, sizes: Sizes) -> Any:
    """The encoder, in float32 throughout: bfloat16 costs accuracy and saves nothing frozen."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        if encoder_type == "resemblyzer":
            return ResemblyzerEncoder(name="encoder")
        sizes = sizes or _SIZES[encoder_type]()
        return _CLASSES[encoder_type].from_section(sizes, name="encoder")
    finally:
        keras.config.set_dtype_policy(policy)
