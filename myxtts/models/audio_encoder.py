"""The audio encoder: a reference becomes conditioning latents and a speaker embedding.

Two kinds give the same two outputs, so that nothing behind them knows which ran:
:class:`OriginalAudioEncoder` and :class:`PretrainedAudioEncoder`.
"""

from __future__ import annotations

import keras
from keras import ops

from myxtts.audio.frontends import COQUI_SPEAKER, XTTS_CONDITIONING
from myxtts.audio.mel import MelNorm, MelSpectrogram
from myxtts.audio.resample import SincResampler, resampled_length
from myxtts.config import ModelConfig
from myxtts.models.conditioning import ConditioningEncoder, PerceiverResampler
from myxtts.models.coqui_resnet import ResNetSpeakerEncoder
from myxtts.models.gpt import sequence_mask
from myxtts.models.speaker_encoder import SAMPLE_RATE, PretrainedSpeakerEncoder


class BaseAudioEncoder(keras.Model):
    """What both kinds share.

    ``features`` turns audio into what is worth caching, ``conditioning_latents`` and
    ``speaker_embedding`` turn features into the two outputs.
    """

    def __init__(self, config: ModelConfig, **kwargs):
        # The parts cast for themselves; audio and log-mels must not be rounded before them.
        super().__init__(name="audio_encoder", autocast=False, **kwargs)
        self.config = config
        self.resampler = SincResampler(XTTS_CONDITIONING.sample_rate, SAMPLE_RATE, name="resampler")

    def call(self, features: dict, training=False):
        """Conditioning latents ``(batch, latents, dim)`` and embedding ``(batch, size)``."""
        return (
            self.conditioning_latents(features, training=training),
            self.speaker_embedding(features, training=training),
        )

    def encode(self, audio, lengths=None):
        """Both outputs for audio ``(batch, samples)`` at 22.05 kHz.

        Args:
            audio: float, padded.
            lengths: int ``(batch,)`` in samples; None for no padding. Padding changes nothing.
        """
        if lengths is None:
            lengths = ops.full(ops.shape(audio)[:1], ops.shape(audio)[1], dtype="int32")
        return self(self.features(audio, ops.cast(lengths, "int32")))

    def features(self, audio, lengths) -> dict:
        raise NotImplementedError

    def features_from_batch(self, batch: dict) -> dict:
        raise NotImplementedError

    def conditioning_latents(self, features: dict, training=False):
        raise NotImplementedError

    def speaker_embedding(self, features: dict, training=False):
        raise NotImplementedError

    def _at_speaker_rate(self, audio, lengths):
        return self.resampler(audio), resampled_length(
            lengths, XTTS_CONDITIONING.sample_rate, SAMPLE_RATE
        )


class OriginalAudioEncoder(BaseAudioEncoder):
    """XTTS's own: conditioning encoder and Perceiver, and a residual speaker encoder."""

    def __init__(self, config: ModelConfig, **kwargs):
        super().__init__(config, **kwargs)
        dim = config.gpt.model_dim
        self.mel = MelSpectrogram(XTTS_CONDITIONING, name="mel")
        self.speaker_mel = MelSpectrogram(COQUI_SPEAKER, name="speaker_mel")
        self.mel_norm = MelNorm(XTTS_CONDITIONING.n_mels, name="mel_norm")
        self.conditioning_encoder = ConditioningEncoder(
            dim, config.conditioning.num_blocks, config.gpt.heads, name="conditioning_encoder"
        )
        self.perceiver = PerceiverResampler.from_section(config.conditioning, dim, name="perceiver")
        self.speaker_encoder = ResNetSpeakerEncoder.from_section(config.speaker)

    @property
    def conditioning_variables(self) -> list:
        """Trainable variables behind the conditioning latents."""
        return self.conditioning_encoder.trainable_variables + self.perceiver.trainable_variables

    @property
    def speaker_variables(self) -> list:
        """Trainable variables behind the speaker embedding."""
        return self.speaker_encoder.trainable_variables

    def build(self, input_shape=None):
        for layer in (
            self.mel_norm,
            self.conditioning_encoder,
            self.perceiver,
            self.speaker_encoder,
        ):
            layer.build(None)
        self.built = True

    def features(self, audio, lengths) -> dict:
        """``mel``, ``mel_mask``, ``audio_16k`` and ``audio_16k_lengths`` of audio."""
        mel = self.mel(audio, lengths)
        resampled, new_lengths = self._at_speaker_rate(audio, lengths)
        return {
            "mel": mel,
            "mel_mask": _frame_mask(lengths, XTTS_CONDITIONING.hop_length, mel),
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
        mel = self.speaker_mel(features["audio_16k"], lengths)
        valid = _frame_mask(lengths, COQUI_SPEAKER.hop_length, mel)
        return self.speaker_encoder(mel, valid=valid, training=training)


class PretrainedAudioEncoder(BaseAudioEncoder):
    """A pretrained speaker encoder and two trained projections of its embedding.

    One projection becomes the single context token of a Perceiver, whose latents
    condition the GPT; the other is the speaker embedding of the decoder.
    """

    def __init__(self, config: ModelConfig, **kwargs):
        super().__init__(config, **kwargs)
        dim = config.gpt.model_dim
        self.speaker_encoder = PretrainedSpeakerEncoder(
            config.speaker_encoder_type, config.freeze_speaker_encoder
        )
        self.to_context = keras.layers.Dense(dim, name="to_context")
        self.perceiver = PerceiverResampler.from_section(config.conditioning, dim, name="perceiver")
        self.to_speaker = keras.layers.Dense(config.speaker.embedding_dim, name="to_speaker")

    @property
    def conditioning_variables(self) -> list:
        """Trainable variables behind the conditioning latents; the encoder's if not frozen."""
        return (
            self.to_context.trainable_variables
            + self.perceiver.trainable_variables
            + self.speaker_encoder.trainable_variables
        )

    @property
    def speaker_variables(self) -> list:
        """Trainable variables behind the speaker embedding alone."""
        return self.to_speaker.trainable_variables

    def build(self, input_shape=None):
        self.speaker_encoder.build()
        size = self.speaker_encoder.embedding_dim
        self.to_context.build((None, size))
        self.perceiver.build(None)
        self.to_speaker.build((None, size))
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

    def conditioning_latents(self, features: dict, training=False):
        """Latents ``(batch, latents, dim)`` that read the projected embedding."""
        context = self.to_context(self._embedding(features, training))
        return self.perceiver(context[:, None])

    def speaker_embedding(self, features: dict, training=False):
        """Projected embedding ``(batch, size)`` of length one."""
        projected = self.to_speaker(self._embedding(features, training))
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


def _frame_mask(lengths, hop_length: int, mel):
    return sequence_mask(lengths // hop_length + 1, ops.shape(mel)[1])
