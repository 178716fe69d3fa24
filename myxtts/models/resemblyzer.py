"""Resemblyzer's voice encoder: a three-layer LSTM over partial utterances.

A port of the ``resemblyzer`` package (Wan et al. 2018, "Generalized end-to-end
loss"). Volume normalisation, mel front-end and partial utterances are part of
the graph; the upstream's removal of long silences (``webrtcvad``) is not, so
equality with it holds for audio that has been through ``preprocess_wav``.
"""

from __future__ import annotations

import keras
from keras import ops

from myxtts.audio.frontends import RESEMBLYZER
from myxtts.audio.mel import MelSpectrogram, sequence_mask

EMBEDDING_DIM = 256
HIDDEN_DIM = 256
LAYERS = 3
PARTIAL_FRAMES = 160
# 1.3 partial utterances a second.
PARTIAL_STEP = 77
MIN_COVERAGE = 0.75
TARGET_DBFS = -30.0
HOP = RESEMBLYZER.hop_length


class ResemblyzerEncoder(keras.Model):
    """Audio ``(batch, samples)`` at 16 kHz to embeddings ``(batch, 256)`` of length one.

    It computes in float32 whatever the precision policy: in bfloat16 the cosine with
    the upstream's embeddings falls to 0.998.
    """

    embedding_dim = EMBEDDING_DIM

    def __init__(self, name: str = "resemblyzer", **kwargs):
        super().__init__(name=name, **kwargs | {"dtype": "float32"})
        self.mel = MelSpectrogram(RESEMBLYZER, name="mel")
        self.lstms = [
            keras.layers.LSTM(
                HIDDEN_DIM, return_sequences=i < LAYERS - 1, dtype="float32", name=f"lstm_{i}"
            )
            for i in range(LAYERS)
        ]
        self.linear = keras.layers.Dense(
            EMBEDDING_DIM, activation="relu", dtype="float32", name="linear"
        )

    def build(self, input_shape=None):
        width = RESEMBLYZER.n_mels
        for lstm in self.lstms:
            lstm.build((None, PARTIAL_FRAMES, width))
            width = HIDDEN_DIM
        self.linear.build((None, HIDDEN_DIM))
        self.built = True

    def call(self, audio, lengths=None, training=False):
        """Embed; ``lengths`` int ``(batch,)`` in samples, None for no padding."""
        batch, samples = ops.shape(audio)
        if lengths is None:
            lengths = ops.full((batch,), samples, dtype="int32")
        lengths = ops.cast(lengths, "int32")
        audio = raise_volume(ops.cast(audio, "float32"), sequence_mask(lengths, samples))
        most = num_partials(samples)
        room = ((most - 1) * PARTIAL_STEP + PARTIAL_FRAMES) * HOP
        mel = self.mel(ops.pad(audio, [[0, 0], [0, ops.maximum(room - samples, 0)]]))
        starts = ops.arange(most) * PARTIAL_STEP
        frames = starts[:, None] + ops.arange(PARTIAL_FRAMES)[None, :]
        partials = ops.take(mel, frames, axis=1)
        partials = ops.reshape(partials, (-1, PARTIAL_FRAMES, RESEMBLYZER.n_mels))
        embeddings = ops.reshape(self.embed_partials(partials), (batch, most, EMBEDDING_DIM))
        weights = ops.cast(sequence_mask(num_partials(lengths), most), "float32")[..., None]
        return ops.normalize(ops.sum(embeddings * weights, axis=1), axis=-1, epsilon=1e-12)

    def embed_partials(self, mels):
        """Embeddings ``(batch, 256)`` of mels ``(batch, 160, 40)``."""
        hidden = mels
        for lstm in self.lstms:
            hidden = lstm(hidden)
        embedding = ops.cast(self.linear(hidden), "float32")
        return ops.normalize(embedding, axis=-1, epsilon=1e-12)


def num_partials(samples):
    """Partial utterances of so many samples; works on integers and on integer tensors.

    The last one may reach beyond the end by a quarter of its length.
    """
    frames = samples // HOP + 1
    spare = frames - PARTIAL_FRAMES + PARTIAL_STEP + 1
    count = -(-ops.maximum(spare, 1) // PARTIAL_STEP)
    covered = samples - (count - 1) * PARTIAL_STEP * HOP
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
