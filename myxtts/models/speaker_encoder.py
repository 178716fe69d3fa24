"""The switch over pretrained speaker encoders."""

from __future__ import annotations

import keras
from keras import ops

from myxtts.config import SPEAKER_ENCODER_TYPES
from myxtts.errors import WeightsError
from myxtts.losses import ContrastiveSpeakerLoss
from myxtts.models.resemblyzer import ResemblyzerEncoder

__all__ = ["RANDOM", "SAMPLE_RATE", "ContrastiveSpeakerLoss", "PretrainedSpeakerEncoder"]

SAMPLE_RATE = 16_000
# Provenance of weights that nobody has trained.
RANDOM = "random"

_ENCODERS = {"resemblyzer": ResemblyzerEncoder}


class PretrainedSpeakerEncoder(keras.layers.Layer):
    """A speaker encoder whose weights come from its upstream project.

    ``(batch, samples)`` at 16 kHz becomes ``(batch, embedding_dim)`` of length one.
    The weights are loaded by
    :func:`myxtts.weights.speaker_encoders.load_pretrained_speaker_encoder` or with a
    preset; until then the provenance is ``"random"`` and a call is an error.

    Args:
        encoder_type: ``ecapa_tdnn``, ``resemblyzer`` or ``coqui``.
        freeze: keep weights and statistics fixed while training.

    Raises:
        WeightsError: this version has no port of the encoder.
    """

    def __init__(self, encoder_type: str, freeze: bool = True, **kwargs):
        kwargs.setdefault("name", "speaker_encoder")
        # Audio must not be rounded to half precision before the encoder hears it.
        super().__init__(autocast=False, **kwargs)
        if encoder_type not in _ENCODERS:
            known = ", ".join(name for name in SPEAKER_ENCODER_TYPES if name in _ENCODERS)
            raise WeightsError(
                f"the speaker encoder {encoder_type!r} is not part of this version; it has {known}."
            )
        self.encoder_type = encoder_type
        self.freeze = freeze
        self.provenance = RANDOM
        self.encoder = _ENCODERS[encoder_type](name="encoder")
        self.encoder.trainable = not freeze

    @property
    def embedding_dim(self) -> int:
        """Size of the embedding."""
        return self.encoder.embedding_dim

    def build(self, input_shape=None):
        self.encoder.build()
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
        return ops.stop_gradient(embedding) if self.freeze else embedding

    def get_config(self) -> dict:
        return {"name": self.name, "encoder_type": self.encoder_type, "freeze": self.freeze}
