"""Discrete VAE: mel frames to audio codes and back.

The architecture is that of XTTS-v2's DVAE (Coqui, ``DiscreteVAE`` over one
dimension; van den Oord et al. 2017 for the moving-average codebook, and for a decoder that hears
the speaker, so that the codes have more room for what is said).
"""

from __future__ import annotations

import keras
from keras import ops

from myxtts import replicas
from myxtts.config import DVAEConfig
from myxtts.losses import masked_mean
from myxtts.models.layer import Conv1D, Layer
from myxtts.settings import to_dict
from myxtts.timing import FRAMES_PER_CODE

CODEBOOK_DECAY = 0.99
CODEBOOK_EPSILON = 1e-5
# An entry whose moving count falls below this is given a new place.
DEAD_COUNT = 0.03


class DVAE(keras.Model):
    """Autoencoder with a codebook between two strided convolutions and their mirror.

    Mels in and out are already divided by the corpus's ``mel_stats``.

    Args:
        hidden_dim: channels after the first strided convolution; the second has twice as many.
        codebook_dim: dimension of a codebook entry.
        num_codes: entries in the codebook.
        num_resnet_blocks: residual blocks before and after the codebook.
        n_mels: mel channels.
        speaker_dim: size of a speaker embedding that the decoder hears; 0: it hears none.
    """

    def __init__(
        self,
        hidden_dim: int = 512,
        codebook_dim: int = 512,
        num_codes: int = 1024,
        num_resnet_blocks: int = 3,
        n_mels: int = 80,
        speaker_dim: int = 0,
        name: str = "dvae",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.hidden_dim = hidden_dim
        self.codebook_dim = codebook_dim
        self.num_codes = num_codes
        self.num_resnet_blocks = num_resnet_blocks
        self.n_mels = n_mels
        self.speaker_dim = speaker_dim
        inner = 2 * hidden_dim
        blocks = range(num_resnet_blocks)
        self.down = [_conv(hidden_dim, 3, "down_0", 2), _conv(inner, 3, "down_1", 2)]
        self.encoder_blocks = [ResBlock(inner, name=f"encoder_block_{i}") for i in blocks]
        self.to_codebook = _conv(codebook_dim, 1, "to_codebook")
        self.codebook = Codebook(codebook_dim, num_codes, name="codebook")
        self.from_codebook = _conv(inner, 1, "from_codebook")
        self.decoder_blocks = [ResBlock(inner, name=f"decoder_block_{i}") for i in blocks]
        self.up = [_conv(inner, 3, "up_0"), _conv(hidden_dim, 3, "up_1")]
        self.to_mel = _conv(n_mels, 1, "to_mel")
        if speaker_dim:
            # Without a bias: of no speaker it hears nothing.
            self.from_speaker = keras.layers.Dense(inner, use_bias=False, name="from_speaker")

    @classmethod
    def from_section(cls, section: DVAEConfig) -> DVAE:
        """Build from the ``model.dvae`` section of a configuration."""
        return cls(**to_dict(section))

    def build(self, input_shape=None):
        inner = 2 * self.hidden_dim
        for layer, channels in zip(self.down, (self.n_mels, self.hidden_dim), strict=True):
            layer.build((None, None, channels))
        for block in [*self.encoder_blocks, *self.decoder_blocks]:
            block.build((None, None, inner))
        self.to_codebook.build((None, None, inner))
        self.codebook.build((None, None, self.codebook_dim))
        self.from_codebook.build((None, None, self.codebook_dim))
        for layer in self.up:
            layer.build((None, None, inner))
        self.to_mel.build((None, None, self.hidden_dim))
        if self.speaker_dim:
            self.from_speaker.build((None, self.speaker_dim))
        self.built = True

    def call(self, mel, valid=None, training=False, speaker=None):
        """Reconstruct ``mel`` through the codebook.

        Args:
            mel: ``(batch, frames, n_mels)``.
            valid: bool ``(batch, frames)``, False on padding; None for no padding.
            training: update the codebook by moving averages.
            speaker: embeddings ``(batch, speaker_dim)``, a row of zeros for nobody's; None for
                nobody's in any row.

        Returns:
            ``mel`` (reconstruction, the shape of the input), ``codes`` ``(batch, length)``, their
            entries ``quantised`` ``(batch, length, codebook_dim)``, and the
            scalars ``recon_loss`` (mean squared error), ``commitment_loss`` and
            ``codebook_usage`` (share of the entries this batch used).
        """
        frames = ops.shape(mel)[1]
        if valid is None:
            valid = ops.ones(ops.shape(mel)[:2], dtype="bool")
        hidden = self._encode(mel)
        quantised, codes, commitment, usage = self.codebook(
            hidden, valid=valid[:, ::FRAMES_PER_CODE], training=training
        )
        rebuilt = ops.cast(self._decode(quantised, speaker)[:, :frames], "float32")
        error = ops.mean(ops.square(rebuilt - ops.cast(mel, "float32")), axis=-1)
        return {
            "mel": rebuilt,
            "codes": codes,
            "quantised": quantised,
            "recon_loss": masked_mean(error, valid),
            "commitment_loss": commitment,
            "codebook_usage": usage,
        }

    def encode(self, mel):
        """Codes ``(batch, ceil(ceil(frames / 2) / 2))`` of mels ``(batch, frames, n_mels)``."""
        return self.codebook.nearest(self._encode(mel))

    def decode(self, codes, speaker=None):
        """Mels ``(batch, 4 * length, n_mels)`` of audio codes ``(batch, length)``.

        Where the decoder hears a ``speaker`` ``(batch, speaker_dim)`` and there is none, it
        speaks in a mean voice.
        """
        return self._decode(self.codebook.lookup(codes), speaker)

    def _encode(self, mel):
        hidden = mel
        for layer in self.down:
            hidden = ops.relu(layer(ops.pad(hidden, [[0, 0], [1, 1], [0, 0]])))
        for block in self.encoder_blocks:
            hidden = block(hidden)
        return self.to_codebook(hidden)

    def _decode(self, quantised, speaker=None):
        hidden = self.from_codebook(quantised)
        if speaker is not None:
            hidden = hidden + self.from_speaker(speaker)[:, None]
        for block in self.decoder_blocks:
            hidden = block(hidden)
        for layer in self.up:
            hidden = ops.relu(layer(ops.repeat(hidden, 2, axis=1)))
        return self.to_mel(hidden)

    def get_config(self) -> dict:
        sizes = ("hidden_dim", "codebook_dim", "num_codes", "num_resnet_blocks", "n_mels")
        return {name: getattr(self, name) for name in ("name", *sizes, "speaker_dim")}


class Codebook(Layer):
    """Nearest-neighbour quantiser whose entries follow their members' moving average.

    Entries start at encoder outputs of the first training batch, and an entry
    that has lost its members starts again at an encoder output of the current
    one, so that a corpus of minutes fills the codebook too.

    Args:
        dim: dimension of an entry.
        num_codes: number of entries.
    """

    def __init__(self, dim: int, num_codes: int, seed: int = 0, **kwargs):
        # Distances and averages need float32 whatever the precision policy.
        super().__init__(dtype="float32", **kwargs)
        self.dim = dim
        self.num_codes = num_codes
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        def state(name, shape, initializer):
            return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False)

        normal = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)
        self.embed = state("embed", (self.dim, self.num_codes), normal)
        self.cluster_size = state("cluster_size", (self.num_codes,), "zeros")
        self.embed_avg = state("embed_avg", (self.dim, self.num_codes), normal)
        self.built = True

    def call(self, hidden, valid, training=False):
        """Quantise ``(batch, length, dim)``; ``valid`` ``(batch, length)`` is False on padding.

        Returns:
            Quantised ``hidden`` with a straight-through gradient, codes, commitment loss, usage.
        """
        hidden = ops.cast(hidden, "float32")
        codes = self.nearest(hidden)
        members = ops.one_hot(ops.reshape(codes, (-1,)), self.num_codes, dtype="float32")
        members = members * ops.reshape(ops.cast(valid, "float32"), (-1, 1))
        quantised = self.lookup(codes)
        if training:
            self._update(ops.stop_gradient(hidden), members, valid)
        quantised = ops.stop_gradient(quantised)
        commitment = masked_mean(ops.mean(ops.square(quantised - hidden), axis=-1), valid)
        counts = replicas.total(ops.sum(members, axis=0))
        usage = ops.mean(ops.cast(counts > 0, "float32"))
        through = hidden + ops.stop_gradient(quantised - hidden)
        return through, codes, commitment, usage

    def nearest(self, hidden):
        """Index ``(batch, length)`` of the nearest entry to vectors ``(batch, length, dim)``."""
        hidden = ops.cast(hidden, "float32")
        # |x|^2 is the same for every entry and takes no part in the choice.
        scores = 2.0 * ops.matmul(hidden, self.embed) - ops.sum(ops.square(self.embed), axis=0)
        return ops.cast(ops.argmax(scores, axis=-1), "int32")

    def lookup(self, codes):
        """Entries ``(batch, length, dim)`` of ``codes`` ``(batch, length)``."""
        return ops.take(ops.transpose(self.embed), codes, axis=0)

    def _update(self, vectors, members, valid):
        """Move every entry towards its members of this batch, and revive the dead ones."""
        fresh = self._draw(replicas.gathered(vectors), replicas.gathered(valid))
        vectors = ops.reshape(vectors, (-1, self.dim))
        first = ops.equal(ops.max(self.cluster_size), 0.0)
        counts = ops.where(first, 1.0, self.cluster_size)
        sums = ops.where(first, fresh, self.embed_avg)
        found = replicas.total(ops.sum(members, axis=0))
        counts = CODEBOOK_DECAY * counts + (1 - CODEBOOK_DECAY) * found
        added = replicas.total(ops.matmul(ops.transpose(vectors), members))
        sums = CODEBOOK_DECAY * sums + (1 - CODEBOOK_DECAY) * added
        dead = counts < DEAD_COUNT
        counts = ops.where(dead, 1.0, counts)
        sums = ops.where(dead, fresh, sums)
        self.cluster_size.assign(counts)
        self.embed_avg.assign(sums)
        total = ops.sum(counts)
        smoothed = (counts + CODEBOOK_EPSILON) / (total + self.num_codes * CODEBOOK_EPSILON) * total
        self.embed.assign(sums / smoothed)

    def _draw(self, vectors, valid):
        """As many random unpadded vectors as there are entries, ``(dim, num_codes)``."""
        logits = ops.where(ops.reshape(valid, (1, -1)), 0.0, -1e9)
        rows = keras.random.categorical(logits, self.num_codes, seed=self.seed_generator)
        return ops.transpose(ops.take(ops.reshape(vectors, (-1, self.dim)), rows[0], axis=0))


class ResBlock(Layer):
    """Two convolutions of width 3 and one of width 1 around a residual, ``(batch, time, dim)``."""

    def __init__(self, dim: int, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.convs = [_conv(dim, 3, "conv_0"), _conv(dim, 3, "conv_1"), _conv(dim, 1, "conv_2")]

    def build(self, input_shape):
        for conv in self.convs:
            conv.build((None, None, self.dim))
        self.built = True

    def call(self, inputs):
        hidden = ops.relu(self.convs[0](inputs))
        hidden = ops.relu(self.convs[1](hidden))
        return self.convs[2](hidden) + inputs


def _conv(filters: int, kernel: int, name: str, stride: int = 1) -> Conv1D:
    # Strided convolutions are padded by one on both sides by the caller: Keras's
    # "same" would put the whole padding behind.
    padding = "same" if stride == 1 else "valid"
    return Conv1D(filters, kernel, strides=stride, padding=padding, name=name)
