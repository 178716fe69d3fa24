"""SV2TTS's synthesizer: fatchord's Tacotron with a speaker embedding beside the text.

Shen et al. 2018 (attention), Wang et al. 2017 (CBHG), Jia et al. 2018 (the embedding). Dropout
and zone-out masks are drawn before the decoder's loop, so that they can also be given.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from myxtts import replicas
from myxtts.errors import CheckpointError
from myxtts.models.cbhg import CBHG, PreNet
from myxtts.models.tacotron_decoder import ConfiguredPart, Decoder
from myxtts.presets.folder import load, read_config, save
from myxtts.presets.record import Record, read_record
from myxtts.presets.variables import named
from myxtts.settings import to_dict
from myxtts.synthesizer_config import SynthesizerPreset, TacotronConfig

KIND = "synthesizer"
WEIGHTS = "synthesizer.safetensors"
# A stop is heard from this frame on.
FIRST_STOP = 10
STOP = 0.5


class Masks(NamedTuple):
    """What is kept (1) and dropped (0); None where nothing is dropped.

    Attributes:
        encoder: ``(2, batch, characters, encoder_dims)`` of the encoder's pre-net.
        decoder: ``(steps, 2, batch, prenet_width)`` of the decoder's.
        zoneout: ``(steps, 2, batch, lstm_dims)``, where 1 keeps the OLD state.
    """

    encoder: object = None
    decoder: object = None
    zoneout: object = None


class Spoken(NamedTuple):
    """What a Tacotron makes of texts.

    Attributes:
        mel: ``(batch, frames, mels)`` before the post-net.
        linear: the same behind it, which a vocoder is given.
        attention: ``(batch, steps, characters)``, each row of sum 1.
        stop: ``(batch, frames)``, logits that the utterance is over.
        lengths: int ``(batch,)``, frames of each text; of generation alone.
        ended: bool ``(batch,)``, whether it came to its end; of generation alone.
    """

    mel: object
    linear: object
    attention: object
    stop: object
    lengths: object = None
    ended: object = None


class TextEncoder(ConfiguredPart):
    """Ids ``(batch, characters)`` to ``(batch, characters, encoder_dims)``."""

    def __init__(self, config: TacotronConfig, **kwargs):
        super().__init__(config, **kwargs)
        width = config.encoder_dims
        self.embedding = keras.layers.Embedding(
            len(config.symbols),
            config.embed_dims,
            embeddings_initializer="glorot_uniform",
            name="embedding",
        )
        self.prenet = PreNet(config.embed_dims, width, config.dropout, name="prenet")
        self.cbhg = CBHG(
            config.encoder_kernels, width, width, width, config.num_highways, name="cbhg"
        )

    def build(self, input_shape=None):
        self.embedding.build()
        self.prenet.build()
        self.cbhg.build()
        self.built = True

    def call(self, ids, masks=None, training=False):
        """Encode; ``masks`` are the pre-net's."""
        return self.cbhg(self.prenet(self.embedding(ids), masks), training=training)


class Tacotron(keras.Model):
    """Text ids and speaker embeddings to mel spectrograms in [-4, 4].

    Args:
        config: its sizes.

    Attributes:
        r: frames a decoder step, int, of training and generation alike.
        step: optimiser steps it was trained for, here and before.
        provenance: where the weights came from; None for those trained here.
        licence: of the weights.
    """

    def __init__(self, config: TacotronConfig | None = None, r: int = 2, **kwargs):
        super().__init__(**{"name": "tacotron"} | kwargs)
        self.config = config = config or TacotronConfig()
        self.r, self.step = r, 0
        self.provenance: str | None = None
        self.licence: str | None = None
        self.source: dict[str, str] = {}
        self.seeds = keras.random.SeedGenerator(0, name="seeds")
        self.encoder = TextEncoder(config, name="encoder")
        self.encoder_proj = keras.layers.Dense(
            config.decoder_dims, use_bias=False, name="encoder_proj"
        )
        self.decoder = Decoder(config, name="decoder")
        self.postnet = CBHG(
            config.postnet_kernels,
            config.n_mels,
            config.postnet_dims,
            config.postnet_dims,
            config.num_highways,
            name="postnet",
        )
        self.post_proj = keras.layers.Dense(config.n_mels, use_bias=False, name="post_proj")

    def build(self, input_shape=None):
        self.encoder.build()
        self.encoder_proj.build((None, None, self.decoder.memory_dims))
        self.decoder.build()
        self.postnet.build()
        self.post_proj.build((None, None, self.config.postnet_dims))
        self.built = True

    def get_config(self) -> dict:
        return {"config": to_dict(self.config), "r": self.r, "name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> Tacotron:
        """Make the model that ``get_config`` describes."""
        return cls(TacotronConfig().merged(config["config"]), config["r"], name=config["name"])

    def call(self, ids, embeddings, mels, r=None, masks=None, training=False) -> Spoken:
        """Teacher-forced forward.

        Args:
            ids: int ``(batch, characters)``, padded with 0.
            embeddings: ``(batch, speaker_dims)``.
            mels: targets ``(batch, frames, mels)``, frames a multiple of ``r``.
            r: frames a step, default :attr:`r`.
            masks: of dropout and zone-out; drawn when None.
            training: batch norm by the batch, and zone-out.
        """
        r = self.r if r is None else r
        steps = ops.shape(mels)[1] // r
        masks = self.draw(ids, steps, training) if masks is None else masks
        memory = self.encode(ids, embeddings, masks.encoder, training)
        first = ops.zeros_like(mels[:, :1])
        teacher = ops.concatenate([first, mels[:, r - 1 :: r][:, : steps - 1]], axis=1)
        mel, attention, stop = self.decoder(
            memory, teacher, r=r, masks=masks.decoder, zoneout=masks.zoneout
        )
        return Spoken(mel, self.refine(mel, training), attention, stop)

    def encode(self, ids, embeddings, masks=None, training=False) -> tuple:
        """What the decoder looks at: encoder output, its projection and ``ids != 0``."""
        hidden = self.encoder(ids, masks, training=training)
        width = ops.shape(ids)[1]
        beside = ops.repeat(ops.cast(embeddings, hidden.dtype)[:, None], width, axis=1)
        hidden = ops.concatenate([hidden, beside], axis=-1)
        return hidden, self.encoder_proj(hidden), ops.not_equal(ids, 0)

    def refine(self, mel, training=False):
        """Post-net: ``(batch, frames, mels)`` to the same."""
        return self.post_proj(self.postnet(mel, training=training))

    def draw(self, ids, steps, training: bool = False, seed=None, dropout: bool = True) -> Masks:
        """Masks at random; with a ``seed`` always the same."""
        config, (batch, width) = self.config, ops.shape(ids)
        # Replicas that share a batch draw for all of it, and each keeps its rows.
        batch = replicas.whole(batch)
        seeds = [self.seeds] * 3 if seed is None else [seed, seed + 1, seed + 2]

        def kept(shape, share, source, axis):
            drawn = replicas.own(keras.random.uniform(shape, seed=source), axis)
            return ops.cast(drawn < share, "float32")

        encoder = decoder = zoneout = None
        if config.dropout and dropout:
            share = 1.0 - config.dropout
            encoder = kept((2, batch, width, config.encoder_dims), share, seeds[0], axis=1)
            decoder = kept((steps, 2, batch, config.prenet_width), share, seeds[1], axis=2)
        if training and config.zoneout:
            shape = (steps, 2, batch, config.lstm_dims)
            zoneout = kept(shape, config.zoneout, seeds[2], axis=2)
        return Masks(encoder, decoder, zoneout)

    def generate(
        self,
        ids,
        embeddings,
        limit: int = 2000,
        seed=None,
        masks=None,
        dropout: bool | None = None,
    ) -> Spoken:
        """Speak until each text has come to its end, or for ``limit`` frames.

        Args:
            ids, embeddings: as :meth:`call` wants them.
            limit: frames at most, rounded up to a multiple of r.
            seed: int, of the dropout.
            masks: of the dropout; drawn when None.
            dropout: whether they are; as the configuration says when None.
        """
        steps = -(-limit // self.r)
        if dropout is None:
            dropout = self.config.dropout_in_speech
        masks = self.draw(ids, steps, seed=seed, dropout=dropout) if masks is None else masks
        memory = self.encode(ids, embeddings, masks.encoder)
        mel, attention, stop, ends = self.decoder.generate(
            memory, steps, self.r, masks.decoder, _stop_rule(self.config.stop_by_rows)
        )
        frames = ops.shape(mel)[1]
        ended = ends > 0
        lengths = ops.where(ended, ends * self.r, frames)
        return Spoken(mel, self.refine(mel), attention, stop, lengths, ended)

    def variables_by_name(self) -> dict:
        """Weights under their paths; seeds are none."""
        return named(self.weights_only(), self.name)

    def weights_only(self) -> list:
        """Trainable weights and batch-norm statistics."""
        return [item for item in self.weights if "seed" not in item.name]

    def save_to_preset(self, folder: str | Path, half: bool = False) -> None:
        """Write the model to ``folder``, with ``half`` its matrices in float16.

        Raises:
            CheckpointError: as :func:`myxtts.presets.folder.save` says.
        """
        record = Record(
            KIND,
            provenance=self.provenance,
            licence=self.licence,
            source=self.source,
            trained_steps={KIND: self.step},
            parameters={KIND: int(sum(np.prod(v.shape) for v in self.trainable_variables))},
        )
        values = {"model": to_dict(self.config), "r": self.r}
        save(folder, record, values, {WEIGHTS: self.variables_by_name()}, half=half)

    @classmethod
    def from_preset(cls, folder: str | Path) -> Tacotron:
        """Read a model written by :meth:`save_to_preset`.

        Raises:
            CheckpointError: the folder is no preset of a synthesizer, or damaged.
        """
        stored = read_config(folder, KIND, SynthesizerPreset)
        if stored.r > stored.model.max_r:
            raise CheckpointError(f"{folder}: r ({stored.r}) is above max_r.")
        model = cls(stored.model, stored.r)
        model.build()
        record = read_record(Path(folder), KIND)
        model.provenance, model.licence, model.source = (
            record.provenance,
            record.licence,
            record.source,
        )
        model.step = record.trained_steps.get(KIND, 0)
        load(folder, KIND, {WEIGHTS: model.variables_by_name()})
        return model


def _stop_rule(rows: bool):
    """Function from step, frame, stop probabilities and ends to the new ends ``(batch,)``.

    An end is the number of steps of a text, 0 while it goes on.
    """

    def rule(step, frame, stop, ends):
        over = (stop > STOP) & (frame > FIRST_STOP)
        if not rows:
            over = ops.broadcast_to(ops.all(over), ops.shape(over))
        return ops.where(over & (ends == 0), step + 1, ends)

    return rule
