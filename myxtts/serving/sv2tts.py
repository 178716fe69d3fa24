"""SV2TTS's text and embedding to a waveform as a SavedModel of core operations."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from myxtts.generation.vocoding import GRIFFIN_LIM
from myxtts.models.tacotron import Tacotron
from myxtts.serving.export import export_graphs
from myxtts.serving.graph.spectrograms import GraphRtvcGriffinLim, GraphSymbols, GraphTacotron


class Sv2ttsModule(tf.Module):
    """The signatures of a synthesizer.

    ``serving_default``: ``text`` string ``()``, ``embedding`` float32 ``(dim,)`` of length one and
    ``seed`` int32 ``()`` to ``waveform`` float32 ``(samples,)``, ``mel`` float32 ``(frames, mels)``
    in [-4, 4], for a vocoder of one's own, and bool ``ended``.

    The text is said in one piece: about twenty words, numbers in words.

    Args:
        model: the synthesizer.
    """

    def __init__(self, model: Tacotron):
        super().__init__(name="sv2tts")
        self.model = model
        self.symbols = GraphSymbols(model.config.symbols)
        self.tacotron, self.vocoder = GraphTacotron(model), GraphRtvcGriffinLim()

    def signatures(self) -> dict:
        """Concrete functions by name."""
        given = {
            "text": tf.TensorSpec((), "string", "text"),
            "embedding": tf.TensorSpec((self.model.config.speaker_dims,), "float32", "embedding"),
            "seed": tf.TensorSpec((), "int32", "seed"),
        }
        speak = tf.function(self.speak, autograph=False)
        return {"serving_default": speak.get_concrete_function(**given)}

    def speak(self, text, embedding, seed) -> dict:
        """See the class."""
        mel, ended = self.tacotron(self.symbols(text), embedding, seed)
        return {"waveform": self.vocoder(mel), "mel": mel, "ended": ended}


def export_sv2tts(model: Tacotron, folder: str | Path) -> None:
    """Write the signatures of :class:`Sv2ttsModule`.

    Args:
        model: with its weights.
        folder: of the version, ``serving/sv2tts/1`` say; it must not be there yet, or be empty.

    Raises:
        CheckpointError: the folder is there, or cannot be written.
    """
    module = Sv2ttsModule(model)
    about = {
        "model": "sv2tts",
        "vocoder": GRIFFIN_LIM,
        "sample_rate": module.vocoder.spec.sample_rate,
        "speaker_embedding": model.config.speaker_dims,
        "symbols": "".join(model.config.symbols),
    }
    export_graphs(folder, module.signatures(), model.weights, about)
