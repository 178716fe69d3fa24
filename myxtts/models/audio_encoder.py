"""The audio encoder: a reference becomes conditioning latents and a speaker embedding.

Two kinds give the same two outputs, so that nothing behind them knows which ran:
:class:`OriginalAudioEncoder` and :class:`PretrainedAudioEncoder`.
"""

from __future__ import annotations

import keras
from keras import ops

from myxtts.audio.frontends import XTTS_CONDITIONING
from myxtts.audio.mel import MelNorm, MelSpectrogram
from myxtts.audio.resample import SincResampler, resampled_length
from myxtts.config import ModelConfig
from myxtts.models.conditioning import ConditioningEncoder, PerceiverResampler
from myxtts.models.coqui_resnet import CoquiSpeakerEncoder
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.timing import SPEAKER_RATE


class BaseAudioEncoder(keras.Model):
    """What both kinds share.

    Of each kind's own, ``features`` turns audio, and ``features_from_batch`` a training
    batch, into what is worth caching; ``conditioning_latents`` and ``speaker_embedding`` turn
    features into the two outputs.

    Attributes:
        conditioning_layers: trained with the GPT.
        speaker_layers: trained with the decoder, or by a speaker loss.
    """

    conditioning_layers: tuple[keras.layers.Layer, ...]
    speaker_layers: tuple[keras.layers.Layer, ...]

    def __init__(self, config: ModelConfig, **kwargs):
        # The parts cast for themselves; audio and log-mels must not be rounded before them.
        super().__init__(name="audio_encoder", autocast=False, **kwargs)
        self.config = config
        self.resampler = SincResampler(
            XTTS_CONDITIONING.sample_rate, SPEAKER_RATE, name="resampler"
        )

    def call(self, features: dict, training=False):
        """Conditioning latents ``(batch, latents, dim)`` and embedding ``(batch, size)``."""
        features = self.heard(features, training=training)
        return (
            self.conditioning_latents(features, training=training),
            self.speaker_embedding(features, training=training),
        )

    @property
    def conditioning_variables(self) -> list:
        """Trainable variables behind the conditioning latents."""
        return _collect(self.conditioning_layers, "trainable_variables")

    @property
    def speaker_variables(self) -> list:
        """Trainable variables behind the speaker embedding alone."""
        return _collect(self.speaker_layers, "trainable_variables")

    @property
    def conditioning_state(self) -> list:
        """:attr:`conditioning_variables` with the statistics their training moves."""
        return _collect(self.conditioning_layers, "variables")

    @property
    def speaker_state(self) -> list:
        """:attr:`speaker_variables` with the statistics their training moves."""
        return _collect(self.speaker_layers, "variables")

    def encode(self, audio, lengths=None):
        """Both outputs for audio ``(batch, samples)`` at 22.05 kHz.

        Args:
            audio: float, padded.
            lengths: int ``(batch,)`` in samples; None for no padding. Padding changes nothing.
        """
        if lengths is None:
            lengths = ops.full(ops.shape(audio)[:1], ops.shape(audio)[1], dtype="int32")
        return self(self.features(audio, ops.cast(lengths, "int32")))

    def heard(self, features: dict, training=False) -> dict:
        """Features with what both outputs share computed once."""
        return features

    def _at_speaker_rate(self, audio, lengths):
        return self.resampler(audio), resampled_length(
            lengths, XTTS_CONDITIONING.sample_rate, SPEAKER_RATE
        )


class OriginalAudioEncoder(BaseAudioEncoder):
    """XTTS's own: conditioning encoder and Perceiver, and a residual speaker encoder."""

    def __init__(self, config: ModelConfig, **kwargs):
        super().__init__(config, **kwargs)
        dim = config.gpt.model_dim
        self.mel = MelSpectrogram(XTTS_CONDITIONING, name="mel")
        self.mel_norm = MelNorm(XTTS_CONDITIONING.n_mels, name="mel_norm")
        self.conditioning_encoder = ConditioningEncoder(
            dim, config.conditioning.num_blocks, config.gpt.heads, name="conditioning_encoder"
        )
        self.perceiver = PerceiverResampler.from_section(config.conditioning, dim, name="perceiver")
        self.speaker_encoder = CoquiSpeakerEncoder.from_section(config.speaker)
        self.conditioning_layers = (self.conditioning_encoder, self.perceiver)
        self.speaker_layers = (self.speaker_encoder,)

    def build(self, input_shape=None):
        for layer in (self.mel_norm, *self.conditioning_layers, *self.speaker_layers):
            layer.build(None)
        self.built = True

    def features(self, audio, lengths) -> dict:
        """``mel``, ``mel_mask``, ``audio_16k`` and ``audio_16k_lengths`` of audio."""
        mel = self.mel(audio, lengths)
        resampled, new_lengths = self._at_speaker_rate(audio, lengths)
        return {
            "mel": mel,
            "mel_mask": self.mel.valid_frames(lengths, mel),
            "audio_16k": resampled,
            "audio_16k_lengths": new_lengths,
        }

    def features_from_batch(self, batch: dict) -> dict:
        """The features a training batch carries."""
        names = {
            "mel": "reference_mel",
            "mel_mask": "reference_mask",
            "audio_16k": "reference_16k",
            "audio_16k_lengths": "reference_16k_lengths",
        }
        return {name: batch[key] for name, key in names.items() if key in batch}

    def conditioning_latents(self, features: dict, training=False):
        """Latents ``(batch, latents, dim)`` of ``mel`` and ``mel_mask``."""
        mel = self.mel_norm(features["mel"])
        hidden = self.conditioning_encoder(mel, valid=features["mel_mask"])
        return self.perceiver(hidden, valid=features["mel_mask"])

    def speaker_embedding(self, features: dict, training=False):
        """Embedding ``(batch, size)`` of ``audio_16k``."""
        lengths = ops.cast(features["audio_16k_lengths"], "int32")
        return self.speaker_encoder(features["audio_16k"], lengths, training=training)


class PretrainedAudioEncoder(BaseAudioEncoder):
    """A pretrained speaker encoder and a trained projection of its embedding.

    The projected embedding is the speaker embedding of the decoder, and the single
    context token of a Perceiver, whose latents condition the GPT. It is trained with
    the GPT, by the GPT's loss and by the speaker losses.
    """

    def __init__(self, config: ModelConfig, **kwargs):
        super().__init__(config, **kwargs)
        dim = config.gpt.model_dim
        self.speaker_encoder = PretrainedSpeakerEncoder.from_section(config)
        self.projection = keras.layers.Dense(config.speaker.embedding_dim, name="projection")
        self.to_context = keras.layers.Dense(dim, name="to_context")
        self.perceiver = PerceiverResampler.from_section(config.conditioning, dim, name="perceiver")
        own = (self.projection, self.to_context, self.perceiver)
        self.conditioning_layers = (
            own if config.freeze_speaker_encoder else (*own, self.speaker_encoder)
        )
        self.speaker_layers = ()

    def build(self, input_shape=None):
        self.speaker_encoder.build()
        self.projection.build((None, self.speaker_encoder.embedding_dim))
        self.to_context.build((None, self.config.speaker.embedding_dim))
        self.perceiver.build(None)
        self.built = True

    def features(self, audio, lengths) -> dict:
        """``audio_16k`` and its lengths; ``embedding`` instead when the encoder is frozen."""
        resampled, new_lengths = self._at_speaker_rate(audio, lengths)
        if self.speaker_encoder.freeze:
            return {"embedding": self.speaker_encoder(resampled, new_lengths)}
        return {"audio_16k": resampled, "audio_16k_lengths": new_lengths}

    def features_from_batch(self, batch: dict) -> dict:
        """The features a training batch carries."""
        if "embedding" in batch:
            return {"embedding": batch["embedding"]}
        return {
            "audio_16k": batch["reference_16k"],
            "audio_16k_lengths": batch["reference_16k_lengths"],
        }

    def heard(self, features: dict, training=False) -> dict:
        """The encoder's ``embedding``: hearing twice would move its statistics twice."""
        return {"embedding": self._embedding(features, training)}

    def conditioning_latents(self, features: dict, training=False):
        """Latents ``(batch, latents, dim)`` that read the projected embedding."""
        context = self.to_context(self.speaker_embedding(features, training=training))
        return self.perceiver(context[:, None])

    def speaker_embedding(self, features: dict, training=False):
        """Projected embedding ``(batch, size)`` of length one."""
        projected = self.projection(self._embedding(features, training))
        return ops.normalize(ops.cast(projected, "float32"), axis=-1, epsilon=1e-12)

    def _embedding(self, features: dict, training):
        if "embedding" in features:
            return features["embedding"]
        return self.speaker_encoder(
            features["audio_16k"], features["audio_16k_lengths"], training=training
        )


def AudioEncoder(config: ModelConfig, **kwargs) -> BaseAudioEncoder:
    """The audio encoder that ``config.use_pretrained_speaker_encoder`` names."""
    kind = PretrainedAudioEncoder if config.use_pretrained_speaker_encoder else OriginalAudioEncoder
    return kind(config, **kwargs)


def _collect(layers: tuple[keras.layers.Layer, ...], kind: str) -> list:
    return [variable for layer in layers for variable in getattr(layer, kind)]
