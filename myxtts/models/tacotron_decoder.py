"""Tacotron's decoder: location-sensitive attention, two residual LSTMs, r frames a step."""

from __future__ import annotations

import keras
from keras import ops

from myxtts.models.cbhg import PreNet, dense, uniform
from myxtts.models.layer import Conv1D, Layer
from myxtts.models.recurrent import lstm, lstm_gates
from myxtts.settings import to_dict
from myxtts.synthesizer_config import TacotronConfig

# Of the convolution over the attention so far.
FILTERS, KERNEL = 32, 31
NOTHING = -1e9
# Of the state: what the attention changes.
LISTENING = ("query", "context", "cumulative", "weights")


class Attention(Layer):
    """Location-sensitive attention (Chorowski et al. 2015) on the sum of what was attended to.

    Args:
        dims: width.
        masked: padding gets no weight; otherwise its scores are set to 0, as fatchord does.
    """

    def __init__(self, dims: int, masked: bool, **kwargs):
        super().__init__(**kwargs)
        self.dims, self.masked = dims, masked
        self.conv = Conv1D(
            FILTERS, KERNEL, padding="same", bias_initializer=uniform(KERNEL), name="conv"
        )
        self.location = keras.layers.Dense(dims, use_bias=False, name="L")
        self.query = dense(dims, dims, "W")
        self.score = keras.layers.Dense(1, use_bias=False, name="v")

    def build(self, input_shape=None):
        self.conv.build((None, None, 1))
        self.location.build((None, None, FILTERS))
        self.query.build((None, self.dims))
        self.score.build((None, None, self.dims))
        self.built = True

    def call(self, query, projected, cumulative, present):
        """Weights ``(batch, characters)`` of a query ``(batch, dims)``."""
        where = self.location(self.conv(cumulative[..., None]))
        scores = self.score(ops.tanh(self.query(query)[:, None] + projected + where))[..., 0]
        if self.masked:
            scores = ops.where(present, scores, NOTHING)
        else:
            scores = scores * ops.cast(present, scores.dtype)
        return ops.softmax(scores, axis=-1)


class LSTMCell(Layer):
    """torch's LSTM cell with both its biases, so that its training goes on here as there."""

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape=None):
        shape = (self.units, 4 * self.units)
        self.kernel = self.add_weight(shape=shape, name="kernel")
        self.recurrent = self.add_weight(shape=shape, name="recurrent_kernel")
        start = uniform(self.units)
        self.bias = self.add_weight(shape=(2, shape[1]), initializer=start, name="bias")
        self.built = True

    def call(self, x, hidden, cell):
        """New hidden and cell state ``(batch, units)``."""
        sums = self._coming(x) + ops.matmul(hidden, self.recurrent)
        first, forget, new, out = lstm_gates(sums)
        cell = forget * cell + first * new
        return out * ops.tanh(cell), cell

    def run(self, x, zoneout=None):
        """Outputs ``(steps, batch, units)`` of inputs ``x`` ``(steps, batch, units)``, from zeros.

        Args:
            x: all inputs.
            zoneout: ``(steps, batch, units)``, where 1 keeps the output of the step before.
        """
        rows = self._coming(x)
        if zoneout is None:
            zoneout = ops.zeros_like(x)
        return lstm(rows, ops.cast(self.recurrent, x.dtype), zoneout)

    def _coming(self, x):
        """The part of the gates' sums that comes from the input."""
        return ops.matmul(x, self.kernel) + self.bias[0] + self.bias[1]


class ConfiguredPart(Layer):
    """A part of a Tacotron, made of the whole model's configuration.

    Args:
        config: of the model.
    """

    def __init__(self, config: TacotronConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config

    def get_config(self) -> dict:
        return {"name": self.name, "config": to_dict(self.config)}

    @classmethod
    def from_config(cls, config: dict) -> ConfiguredPart:
        """Make the part that ``get_config`` describes."""
        return cls(TacotronConfig().merged(config["config"]), name=config["name"])


class Decoder(ConfiguredPart):
    """Mel frames from what the encoder made, r at a step.

    Args:
        config: of the model.
    """

    def __init__(self, config: TacotronConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.memory_dims = config.encoder_dims + config.speaker_dims
        width, lstm = config.decoder_dims, config.lstm_dims
        self.prenet = PreNet(config.n_mels, config.prenet_width, config.dropout, name="prenet")
        self.attention = Attention(width, config.masked_attention, name="attention")
        self.attention_rnn = keras.layers.GRUCell(
            width,
            reset_after=True,
            recurrent_initializer="glorot_uniform",
            bias_initializer=uniform(width),
            name="attention_rnn",
        )
        self.rnn_input = dense(lstm, width + self.memory_dims, "rnn_input")
        self.cells = [LSTMCell(lstm, name=f"lstm_{i}") for i in range(2)]
        self.mel_proj = keras.layers.Dense(
            config.n_mels * config.max_r, use_bias=False, name="mel_proj"
        )
        self.stop_proj = dense(1, lstm + self.memory_dims, "stop_proj")

    def build(self, input_shape=None):
        config = self.config
        self.prenet.build()
        self.attention.build()
        self.attention_rnn.build((None, self.memory_dims + config.prenet_width))
        self.rnn_input.build((None, config.decoder_dims + self.memory_dims))
        for cell in self.cells:
            cell.build()
        self.mel_proj.build((None, config.lstm_dims))
        self.stop_proj.build((None, config.lstm_dims + self.memory_dims))
        self.built = True

    def call(self, memory, teacher, r, masks=None, zoneout=None):
        """Teacher-forced decoding.

        Args:
            memory: see :meth:`~myxtts.models.tacotron.Tacotron.encode`.
            teacher: the frame before each step ``(batch, steps, mels)``.
            r: frames a step.
            masks: of the pre-net ``(steps, 2, batch, prenet_width)``.
            zoneout: ``(steps, 2, batch, lstm_dims)``.

        Returns:
            Mel ``(batch, frames, mels)``, attention ``(batch, steps, characters)`` and logits
            of the stop ``(batch, frames)``.
        """
        own = None if masks is None else ops.transpose(masks, (1, 2, 0, 3))
        frames = ops.swapaxes(self.prenet(teacher, own), 0, 1)
        # The attention hears the frames before and not the LSTMs, so that those can wait until it
        # is done, and take what comes in from all steps at once.
        first = self.start(memory)
        listening = {name: first[name] for name in LISTENING}

        def step(state, frame):
            state = self.listen(state, memory, frame)
            return state, state

        _, heard = ops.scan(step, listening, frames)
        x = self.rnn_input(ops.concatenate([heard["context"], heard["query"]], axis=-1))
        for number, cell in enumerate(self.cells):
            kept = None if zoneout is None else ops.cast(zoneout[:, number], x.dtype)
            x = x + cell.run(x, kept)
        hidden, context, weights = (
            ops.swapaxes(item, 0, 1) for item in (x, heard["context"], heard["weights"])
        )
        stop = self.stop_proj(ops.concatenate([hidden, context], axis=-1))[..., 0]
        return self.frames(hidden, self.frame_kernel(r)), weights, repeated(stop, r)

    def start(self, memory) -> dict:
        """State before the first step."""
        (batch, width, _), config = ops.shape(memory[0]), self.config
        kind = memory[0].dtype
        sizes = {"query": config.decoder_dims, "context": self.memory_dims}
        sizes |= dict.fromkeys(("h0", "c0", "h1", "c1", "out"), config.lstm_dims)
        state = {name: ops.zeros((batch, size), kind) for name, size in sizes.items()}
        return state | {name: ops.zeros((batch, width), kind) for name in ("cumulative", "weights")}

    def listen(self, state: dict, memory: tuple, frame) -> dict:
        """What of the state the attention changes in a step; see :meth:`step`."""
        encoded, projected, present = memory
        beside = ops.concatenate([state["context"], frame], axis=-1)
        query, _ = self.attention_rnn(beside, [state["query"]])
        weights = self.attention(query, projected, state["cumulative"], present)
        context = ops.matmul(weights[:, None], encoded)[:, 0]
        cumulative = state["cumulative"] + weights
        return {"query": query, "context": context, "weights": weights, "cumulative": cumulative}

    def step(self, state: dict, memory: tuple, frame) -> dict:
        """State behind a step whose pre-net made ``frame`` ``(batch, prenet_width)``."""
        new = self.listen(state, memory, frame)
        x = self.rnn_input(ops.concatenate([new["context"], new["query"]], axis=-1))
        for number, cell in enumerate(self.cells):
            old = state[f"h{number}"], state[f"c{number}"]
            new[f"h{number}"], new[f"c{number}"] = cell(x, *old)
            x = x + new[f"h{number}"]
        return new | {"out": x}

    def frame_kernel(self, r):
        """What makes ``r`` frames of a step's output, ``(lstm_dims, r * mels)``."""
        config = self.config
        kernel = ops.reshape(self.mel_proj.kernel, (-1, config.n_mels, config.max_r))
        kernel = ops.transpose(kernel[:, :, :r], (0, 2, 1))
        return ops.reshape(kernel, (config.lstm_dims, -1))

    def frames(self, hidden, kernel):
        """Frames ``(batch, steps * r, mels)`` of ``hidden`` ``(batch, steps, lstm_dims)``."""
        made = ops.matmul(hidden, ops.cast(kernel, hidden.dtype))
        return ops.reshape(made, (ops.shape(hidden)[0], -1, self.config.n_mels))

    def generate(self, memory, steps: int, r: int, masks, rule):
        """Decode from its own frames.

        Args:
            memory: as in :meth:`call`.
            steps: at most.
            r: frames a step.
            masks: of the pre-net, or None.
            rule: gives the ends of the texts, of step, first frame, stops and ends so far.

        Returns:
            As :meth:`call`, and the steps of each text, int ``(batch,)``, 0 without an end.
        """
        batch, width, _ = ops.shape(memory[0])
        mels, kind = self.config.n_mels, memory[0].dtype
        kept = (
            ops.zeros((batch, steps, r * mels), kind),
            ops.zeros((batch, steps, width), kind),
            ops.zeros((batch, steps, 1), kind),
        )
        state, kernel = self.start(memory), self.frame_kernel(r)
        names = list(state)

        def going(step, ends, *rest):
            return (step < steps) & ops.any(ends == 0)

        def body(step, ends, last, kept, values):
            own = None if masks is None else ops.take(masks, step, axis=0)
            now = dict(zip(names, values, strict=True))
            now = self.step(now, memory, self.prenet(last, own))
            made = self.frames(now["out"][:, None], kernel)
            stop = self.stop_proj(ops.concatenate([now["out"], now["context"]], axis=-1))
            new = (ops.reshape(made, (batch, 1, r * mels)), now["weights"][:, None], stop[:, None])
            kept = tuple(
                ops.slice_update(old, (0, step, 0), one) for old, one in zip(kept, new, strict=True)
            )
            ends = rule(step, step * r, ops.sigmoid(stop[:, 0]), ends)
            return step + 1, ends, made[:, -1], kept, tuple(now[name] for name in names)

        begin = (
            ops.convert_to_tensor(0, "int32"),
            ops.zeros((batch,), "int32"),
            ops.zeros((batch, mels), kind),
            kept,
            tuple(state[name] for name in names),
        )
        done, ends, _, (mel, attention, stop), _ = ops.while_loop(going, body, begin)
        mel = ops.reshape(mel[:, :done], (batch, -1, mels))
        return mel, attention[:, :done], repeated(stop[:, :done, 0], r), ends


def repeated(values, r):
    """Each of ``(batch, steps)`` so many times, ``(batch, steps * r)``; ``r`` may be a tensor."""
    batch, steps = ops.shape(values)
    return ops.reshape(ops.broadcast_to(values[..., None], (batch, steps, r)), (batch, -1))
