"""GPT over text ids and audio codes.

A sequence is ``[conditioning latents][START text STOP][START_AUDIO codes]``. The
architecture is XTTS-v2's: GPT-2 blocks (Radford et al. 2019) without their own
positions, learned positions that restart for text and for audio, and two layer
norms in a row before the heads.
"""

from __future__ import annotations

import math

import keras
from keras import ops

from myxtts.audio.mel import sequence_mask
from myxtts.config import ModelConfig
from myxtts.errors import ConfigError
from myxtts.losses import IGNORED_TARGET
from myxtts.models.attention import attention_weights, causal_bias, key_bias, weigh, write_slot
from myxtts.models.layer import NORM_EPSILON, Dropout, Layer
from myxtts.settings import to_dict


class GPT(keras.Model):
    """Autoregressive model of text ids and audio codes under conditioning latents.

    Args:
        layers: transformer blocks.
        model_dim: width.
        heads: attention heads.
        num_text_tokens: size of the text vocabulary.
        max_text_tokens: longest text.
        max_audio_tokens: longest speech; sequences of up to three codes less can be generated.
        num_codes: audio codes; the start and stop codes follow them.
        start_text_token, stop_text_token: text ids around every text.
        dropout: on embeddings, attention weights and residuals, while training.

    Attributes:
        start_audio_token, stop_audio_token: codes around all speech.
        num_audio_tokens: audio codes with these two.
        max_new_codes: longest speech that can be generated, in codes.
    """

    def __init__(
        self,
        layers: int,
        model_dim: int,
        heads: int,
        num_text_tokens: int,
        max_text_tokens: int,
        max_audio_tokens: int,
        num_codes: int,
        start_text_token: int = 261,
        stop_text_token: int = 0,
        dropout: float = 0.1,
        name: str = "gpt",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.num_layers = layers
        self.model_dim = model_dim
        self.heads = heads
        self.num_text_tokens = num_text_tokens
        self.max_text_tokens = max_text_tokens
        self.max_audio_tokens = max_audio_tokens
        self.num_codes = num_codes
        self.start_audio_token, self.stop_audio_token = num_codes, num_codes + 1
        self.num_audio_tokens = num_codes + 2
        self.max_new_codes = max_audio_tokens - 3
        self.start_text_token = start_text_token
        self.stop_text_token = stop_text_token
        self.dropout = dropout
        self._make_layers()

    @classmethod
    def from_section(cls, config: ModelConfig) -> GPT:
        """Build from the ``model`` section: GPT sizes, and the codes of its DVAE."""
        return cls(**to_dict(config.gpt), num_codes=config.dvae.num_codes)

    def _make_layers(self) -> None:
        dim = self.model_dim
        self.text_embedding = _embedding(self.num_text_tokens, dim, "text_embedding")
        self.audio_embedding = _embedding(self.num_audio_tokens, dim, "audio_embedding")
        self.text_positions = _embedding(self.max_text_tokens + 2, dim, "text_positions")
        self.audio_positions = _embedding(self.max_audio_tokens + 3, dim, "audio_positions")
        self.embedding_dropout = Dropout(self.dropout, name="embedding_dropout")
        self.blocks = [
            GPTBlock(dim, self.heads, self.num_layers, self.dropout, name=f"block_{i}")
            for i in range(self.num_layers)
        ]
        self.ln_f = _norm("ln_f")
        self.final_norm = _norm("final_norm")
        self.text_head = keras.layers.Dense(
            self.num_text_tokens, kernel_initializer=_normal(), name="text_head"
        )
        self.audio_head = keras.layers.Dense(
            self.num_audio_tokens, kernel_initializer=_normal(), name="audio_head"
        )

    def build(self, input_shape=None):
        shape = (None, None, self.model_dim)
        tables = (self.text_embedding, self.audio_embedding)
        for embedding in (*tables, self.text_positions, self.audio_positions):
            embedding.build((None, None))
        for layer in (*self.blocks, self.ln_f, self.final_norm, self.text_head, self.audio_head):
            layer.build(shape)
        self.built = True

    @property
    def matrices(self) -> list[keras.Variable]:
        """Kernels ``(inputs, outputs)`` of the blocks: nearly all of what a code is made with."""
        return [layer.kernel for block in self.blocks for layer in block.projections]

    def call(self, inputs, training=False, coqui_compatible=False, attention_blocks=()):
        """Predict every next id and code under teacher forcing.

        Args:
            inputs: dictionary of

                * ``text_ids`` int ``(batch, text)``, padded, without start and stop;
                * ``text_lengths`` int ``(batch,)``;
                * ``audio_codes`` int ``(batch, codes)``, padded, without start and stop;
                * ``code_lengths`` int ``(batch,)``;
                * ``conditioning_latents`` ``(batch, latents, model_dim)``.
            training: apply dropout.
            coqui_compatible: hide the text's stop id from attention, as Coqui's trainer
                does (its inference shows it).
            attention_blocks: numbers of blocks whose attention is returned.

        Returns:
            ``text_logits`` ``(batch, text + 2, num_text_tokens)`` and ``audio_logits``
            ``(batch, codes + 1, num_audio_tokens)`` with their ``text_targets`` and
            ``audio_targets`` (-1 where nothing is to be predicted), and ``audio_latents``
            ``(batch, codes + 1, model_dim)``: latent i is the state that predicts code i.
            ``attention``: of each of ``attention_blocks`` how much the states that predict codes
            attend to the text, float32 ``(batch, heads, codes + 1, text + 2)``; the rest of a
            row's attention is on latents and codes.

        Raises:
            ConfigError: the padded text or codes outrun their position tables.
        """
        stops_seen = 0 if coqui_compatible else 1
        hidden, valid, (start, middle), targets = self._sequence(inputs, stops_seen)
        hidden = self.embedding_dropout(hidden, training=training)
        bias = causal_bias(ops.shape(hidden)[1]) + key_bias(valid)
        attention = {}
        for number, block in enumerate(self.blocks):
            hidden, _, weights = block(hidden, bias, training=training, with_attention=True)
            if number in attention_blocks:
                attention[number] = weights[:, :, middle:, start:middle]
        hidden = self.finish(hidden)
        audio_latents = hidden[:, middle:]
        return {
            "text_logits": self.text_head(hidden[:, start:middle]),
            "audio_logits": self.audio_head(audio_latents),
            "audio_latents": audio_latents,
            "attention": [attention[number] for number in attention_blocks],
            **targets,
        }

    def alignment(self, inputs):
        """How much each predicted code attends to each text position.

        Args:
            inputs: as for the call.

        Returns:
            ``(batch, codes + 1, text + 2)``, averaged over blocks and heads.
        """
        attention = self(inputs, attention_blocks=tuple(range(self.num_layers)))["attention"]
        return sum(ops.mean(weights, axis=1) for weights in attention) / self.num_layers

    def prompt(self, text_ids, text_lengths, conditioning_latents):
        """Embeddings and validity of all that stands before the first code.

        Returns:
            ``(batch, latents + text + 3, model_dim)`` ending with the start code, and
            bool ``(batch, latents + text + 3)``.
        """
        text, _ = self._text(text_ids, text_lengths)
        one = ops.ones(ops.shape(text)[:1], dtype="int32")
        start = self.start_audio_token * one[:, None]
        return self._joined(conditioning_latents, text, text_lengths + 2, start, one)

    def embed_code(self, codes, position):
        """Embeddings ``(batch, 1, model_dim)`` of codes ``(batch,)`` at one position."""
        return self.embed_codes(codes[:, None], position)

    def embed_codes(self, codes, position):
        """Embeddings ``(batch, length, model_dim)`` of codes from ``position`` on."""
        _check_length("audio", codes.shape[1], self.max_audio_tokens + 3)
        positions = position + ops.arange(ops.shape(codes)[1])
        return self.audio_embedding(codes) + self.audio_positions(positions)

    def finish(self, hidden):
        """The two closing layer norms."""
        return self.final_norm(self.ln_f(hidden))

    def _sequence(self, inputs: dict, stops_seen: int = 1) -> tuple:
        """Embeddings and validity of a whole sequence, where text and audio begin, targets."""
        text_lengths, code_lengths = inputs["text_lengths"], inputs["code_lengths"]
        text, text_targets = self._text(inputs["text_ids"], text_lengths)
        ends = (self.start_audio_token, self.stop_audio_token)
        audio, audio_targets = _shifted(inputs["audio_codes"], code_lengths, *ends)
        latents, text_seen = inputs["conditioning_latents"], text_lengths + 1 + stops_seen
        start = ops.shape(latents)[1]
        return (
            *self._joined(latents, text, text_seen, audio, code_lengths + 1),
            (start, start + ops.shape(text)[1]),
            {"text_targets": text_targets, "audio_targets": audio_targets},
        )

    def _joined(self, latents, text, text_lengths, audio, audio_lengths) -> tuple:
        """Embeddings of latents, text ids and codes in a row, and which of them are valid."""
        latents = ops.cast(latents, self.compute_dtype)
        hidden = [latents, self._embed_text(text), self.embed_codes(audio, 0)]
        valid = [
            ops.ones(ops.shape(latents)[:2], dtype="bool"),
            sequence_mask(text_lengths, ops.shape(text)[1]),
            sequence_mask(audio_lengths, ops.shape(audio)[1]),
        ]
        return ops.concatenate(hidden, axis=1), ops.concatenate(valid, axis=1)

    def _text(self, ids, lengths):
        """Inputs ``[START] text [STOP]...`` and their targets, ``(batch, text + 2)`` each."""
        stop = self.stop_text_token
        inputs, targets = _shifted(ids, lengths, self.start_text_token, stop)
        inputs = ops.pad(inputs, [[0, 0], [0, 1]], constant_values=stop)
        return inputs, ops.pad(targets, [[0, 0], [0, 1]], constant_values=IGNORED_TARGET)

    def _embed_text(self, ids):
        _check_length("text", ids.shape[1], self.max_text_tokens + 2)
        return self.text_embedding(ids) + self.text_positions(ops.arange(ops.shape(ids)[1]))

    def get_config(self) -> dict:
        sizes = ("model_dim", "heads", "num_text_tokens", "max_text_tokens", "max_audio_tokens")
        tokens = ("num_codes", "start_text_token", "stop_text_token")
        names = ("name", *sizes, *tokens, "dropout")
        return {"layers": self.num_layers} | {name: getattr(self, name) for name in names}


class GPTBlock(Layer):
    """Pre-norm transformer block ``(batch, length, dim)`` of GPT-2, with a cache for decoding.

    Args:
        dim: width.
        heads: attention heads.
        depth: blocks of the whole model; residual projections start smaller by its root.
        dropout: on attention weights and residuals.
    """

    def __init__(self, dim: int, heads: int, depth: int, dropout: float, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
        residual = _normal(0.02 / (2 * depth) ** 0.5)
        self.ln_1 = _norm("ln_1")
        self.qkv = keras.layers.Dense(3 * dim, kernel_initializer=_normal(), name="qkv")
        self.attention_out = keras.layers.Dense(
            dim, kernel_initializer=residual, name="attention_out"
        )
        self.ln_2 = _norm("ln_2")
        self.expand = keras.layers.Dense(4 * dim, kernel_initializer=_normal(), name="expand")
        self.contract = keras.layers.Dense(dim, kernel_initializer=residual, name="contract")
        self.attention_dropout = Dropout(dropout, name="attention_dropout")
        self.residual_dropout = Dropout(dropout, name="residual_dropout")

    @property
    def projections(self) -> tuple[keras.layers.Dense, ...]:
        """Its matrix products, in the order in which they are made."""
        return self.qkv, self.attention_out, self.expand, self.contract

    def build(self, input_shape):
        for layer in (self.ln_1, self.qkv, self.attention_out, self.ln_2, self.expand):
            layer.build((None, None, self.dim))
        self.contract.build((None, None, 4 * self.dim))
        self.built = True

    def call(self, hidden, bias, cache=None, training=False, with_attention=False):
        """Transform ``hidden``.

        Args:
            hidden: ``(batch, length, dim)``.
            bias: added to the attention scores.
            cache: None, or ``(keys, values, position)`` with ``(batch, heads, slots,
                head_dim)`` tensors into which the new keys and values go at ``position``.
            training: apply dropout.
            with_attention: return the attention weights too.

        Returns:
            The new hidden states and ``(keys, values)``: those of the cache when one was given.
            Asked for, a third: weights ``(batch, heads, queries, keys)``, float32, no dropout.
        """
        # Rows: TensorFlow multiplies matrices on CPUs twice as fast as stacks of them.
        shape, rows = ops.shape(hidden), ops.reshape(hidden, (-1, self.dim))
        query, key, value = self._heads(self.qkv(self.ln_1(rows)), shape)
        if cache is not None:
            keys, values, position = cache
            key, value = write_slot(keys, position, key), write_slot(values, position, value)
        weights = attention_weights(query, key, bias)
        attended = weigh(weights, value, self.attention_dropout, training)
        joined = ops.reshape(attended, (-1, self.dim))
        rows = rows + self.residual_dropout(self.attention_out(joined), training=training)
        expanded = _gelu(self.expand(self.ln_2(rows)))
        rows = rows + self.residual_dropout(self.contract(expanded), training=training)
        result = ops.reshape(rows, shape), (key, value)
        return (*result, weights) if with_attention else result

    def _heads(self, qkv, shape):
        shape = (shape[0], shape[1], 3, self.heads, self.dim // self.heads)
        return ops.unstack(ops.transpose(ops.reshape(qkv, shape), (2, 0, 3, 1, 4)), 3)


def _shifted(ids, lengths, start: int, stop: int):
    """Inputs ``[start] ids`` and targets ``ids [stop]`` of padded rows, ``(batch, length + 1)``."""
    length = ops.shape(ids)[1]
    ids = ops.where(sequence_mask(lengths, length), ids, stop)
    inputs = ops.pad(ids, [[0, 0], [1, 0]], constant_values=start)
    targets = ops.pad(ids, [[0, 0], [0, 1]], constant_values=stop)
    kept = sequence_mask(lengths + 1, length + 1)
    return inputs, ops.where(kept, targets, IGNORED_TARGET)


def _gelu(inputs):
    """GELU by tanh, as GPT-2's; :func:`keras.ops.gelu` raises to the power 3, which is slow."""
    cubed = inputs * inputs * inputs
    inner = math.sqrt(2.0 / math.pi) * (inputs + 0.044715 * cubed)
    return 0.5 * inputs * (1.0 + ops.tanh(inner))


def _check_length(kind: str, length: int | None, limit: int) -> None:
    # A lookup beyond the table is an error on CPUs, but silent on GPUs and under XLA.
    if length is not None and length > limit:
        raise ConfigError(
            f"{length} {kind} tokens with start and stop do not fit into the GPT's {limit} "
            f"{kind} positions (model.gpt.max_{kind}_tokens)."
        )


def _embedding(size: int, dim: int, name: str) -> keras.layers.Embedding:
    return keras.layers.Embedding(size, dim, embeddings_initializer=_normal(), name=name)


def _norm(name: str) -> keras.layers.LayerNormalization:
    return keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=name)


def _normal(stddev: float = 0.02) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=stddev)
