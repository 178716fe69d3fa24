"""Resemblyzer's voice encoder: a three-layer LSTM over partial utterances.

A port of the ``resemblyzer`` package (Wan et al. 2018, "Generalized end-to-end
loss"). Volume normalisation, mel front-end and partial utterances are part of
the graph; the upstream's removal of long silences (``webrtcvad``) is not, so
equality with it holds for audio that has been through ``preprocess_wav``. It is RTVC's encoder
too, which takes its partial utterances every 80 frames (``RTVC_STEP``).
"""

from __future__ import annotations

import keras
from keras import ops

from myxtts.audio.frontends import RESEMBLYZER, MelSpec, spec_dict
from myxtts.audio.mel import MelSpectrogram, sequence_mask

EMBEDDING_DIM = 256
HIDDEN_DIM = 256
LAYERS = 3
PARTIAL_FRAMES = 160
# 1.3 partial utterances a second.
PARTIAL_STEP = 77
# Half of each: RTVC's.
RTVC_STEP = 80
MIN_COVERAGE = 0.75
TARGET_DBFS = -30.0
HOP = RESEMBLYZER.hop_length


class ResemblyzerEncoder(keras.Model):
    """Audio ``(batch, samples)`` at 16 kHz to embeddings ``(batch, 256)`` of length one.

    It computes in float32 whatever the precision policy: in bfloat16 the cosine with
    the upstream's embeddings falls to 0.998.

    Args:
        partial_step: frames between two partial utterances.
        spec: its front-end, None for its own; ``RESEMBLYZER.reflected()`` is that of librosa
            before 0.9.
        hidden_dim, embedding_dim: of its LSTMs and of the embedding.
        layers: LSTMs.
        epsilon: added to a partial embedding's norm before it is divided by it.
    """

    embedding_dim = EMBEDDING_DIM

    def __init__(
        self,
        name: str = "resemblyzer",
        partial_step: int = PARTIAL_STEP,
        spec: MelSpec | None = None,
        hidden_dim: int = HIDDEN_DIM,
        embedding_dim: int = EMBEDDING_DIM,
        epsilon: float = 0.0,
        layers: int = LAYERS,
        **kwargs,
    ):
        super().__init__(name=name, **kwargs | {"dtype": "float32"})
        spec = spec or RESEMBLYZER
        self.partial_step, self.epsilon, self.spec = partial_step, epsilon, spec
        self.hidden_dim, self.embedding_dim = hidden_dim, embedding_dim
        self.mel = MelSpectrogram(spec, name="mel")
        self.lstms = [
            keras.layers.LSTM(
                hidden_dim, return_sequences=i < layers - 1, dtype="float32", name=f"lstm_{i}"
            )
            for i in range(layers)
        ]
        self.linear = keras.layers.Dense(
            embedding_dim, activation="relu", dtype="float32", name="linear"
        )

    def get_config(self) -> dict:
        names = ("name", "partial_step", "hidden_dim", "embedding_dim", "epsilon")
        own = {"spec": spec_dict(self.spec), "layers": len(self.lstms)}
        return {name: getattr(self, name) for name in names} | own

    @classmethod
    def from_config(cls, config: dict) -> ResemblyzerEncoder:
        """Make the encoder that ``get_config`` describes."""
        return cls(**config | {"spec": MelSpec(**config["spec"])})

    def build(self, input_shape=None):
        width = self.spec.n_mels
        for lstm in self.lstms:
            lstm.build((None, PARTIAL_FRAMES, width))
            width = self.hidden_dim
        self.linear.build((None, self.hidden_dim))
        self.built = True

    def call(self, audio, lengths=None, training=False):
        """Embed; ``lengths`` int ``(batch,)`` in samples, None for no padding."""
        batch, samples = ops.shape(audio)
        if lengths is None:
            lengths = ops.full((batch,), samples, dtype="int32")
        lengths = ops.cast(lengths, "int32")
        audio = raise_volume(ops.cast(audio, "float32"), sequence_mask(lengths, samples))
        most = num_partials(samples, self.partial_step)
        room = ((most - 1) * self.partial_step + PARTIAL_FRAMES) * HOP
        mel = self.mel(ops.pad(audio, [[0, 0], [0, ops.maximum(room - samples, 0)]]))
        starts = ops.arange(most) * self.partial_step
        frames = starts[:, None] + ops.arange(PARTIAL_FRAMES)[None, :]
        partials = ops.take(mel, frames, axis=1)
        partials = ops.reshape(partials, (-1, PARTIAL_FRAMES, self.spec.n_mels))
        embeddings = ops.reshape(self.embed_partials(partials), (batch, most, self.embedding_dim))
        counts = num_partials(lengths, self.partial_step)
        weights = ops.cast(sequence_mask(counts, most), "float32")[..., None]
        return ops.normalize(ops.sum(embeddings * weights, axis=1), axis=-1, epsilon=1e-12)

    def embed_partials(self, mels):
        """Embeddings ``(batch, 256)`` of mels ``(batch, 160, 40)``."""
        hidden = mels
        for lstm in self.lstms:
            hidden = lstm(hidden)
        embedding = ops.cast(self.linear(hidden), "float32")
        if self.epsilon:
            return embedding / (ops.norm(embedding, axis=-1, keepdims=True) + self.epsilon)
        return ops.normalize(embedding, axis=-1, epsilon=1e-12)


def num_partials(samples, step: int = PARTIAL_STEP):
    """Partial utterances of so many samples; works on integers and on integer tensors.

    The last one may reach beyond the end by a quarter of its length.
    """
    frames = samples // HOP + 1
    spare = frames - PARTIAL_FRAMES + step + 1
    count = -(-ops.maximum(spare, 1) // step)
    covered = samples - (count - 1) * step * HOP
    enough = ops.cast(covered, "float32") >= MIN_COVERAGE * PARTIAL_FRAMES * HOP
    return ops.maximum(ops.where(enough, count, count - 1), 1)


def raise_volume(audio, valid):
    """Bring rows ``(batch, samples)`` quieter than -30 dBFS up to it; padding becomes zero."""
    weights = ops.cast(valid, "float32")
    audio = audio * weights
    power = ops.sum(ops.square(audio), axis=1, keepdims=True)
    power = power / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)
    gain = ops.sqrt(10 ** (TARGET_DBFS / 10) / ops.maximum(power, 1e-10))
    return audio * ops.maximum(gain, 1.0)
