"""A model of this process behind the gateway."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from myxtts.config import SynthesisConfig
from myxtts.generation.driver import Reading, pause
from myxtts.generation.sampling import RULES, drawing
from myxtts.generation.state import advance
from myxtts.inference.coder import Coder
from myxtts.inference.synthesizer import Synthesizer
from myxtts.inference.voice import Voice
from myxtts.models.xtts import XTTS
from myxtts.presets.finding import find_preset
from myxtts.presets.voices import preset_voices
from myxtts.server.engines import Options
from myxtts.serving.contract import OPTIONS

_NOTHING = np.zeros(0, "float32")
# Texts of two padded lengths: the second makes a graph for every length, which takes seconds.
_SHORT, _LONG = "One, two.", "One, two, " * 12 + "one."


class OpenCoder(Coder):
    """A coder whose sampling rules enter its graph, so that one graph serves every request."""

    def __init__(self, gpt, settings: SynthesisConfig):
        super().__init__(gpt, settings)
        self._graph = tf.function(
            self._advance_by, reduce_retracing=True, jit_compile=settings.xla, autograph=False
        )

    def by(self, **changes: float) -> OpenCoder:
        """The same graphs under other rules.

        Raises:
            ConfigError: a value is out of its range.
        """
        other = copy.copy(self)
        other.settings = replace(self.settings, **changes)
        rules = {
            name: tf.constant([getattr(other.settings, name)], OPTIONS[name]) for name in RULES
        }
        other._next = functools.partial(self._graph, rules)
        return other

    def _advance_by(self, rules, state, uniforms, least, limit):
        compatible = {"coqui_compatible": self.settings.coqui_compatible}
        bounds = {"min_codes": least, "limit": limit}
        if self._int8:
            bounds["read"] = self._int8.read
        return advance(self.gpt, state, uniforms, **bounds, **drawing(**rules), **compatible)


class LocalEngine:
    """Speaks with an :class:`XTTS`, see :class:`myxtts.server.engines.Engine`.

    Args:
        preset: folder or name of the model; None for the one that comes with MyXTTS.
        settings: of the synthesis; the model's own when None.

    Raises:
        CheckpointError: there is no such model.
    """

    def __init__(self, preset: str | Path | None = None, settings: SynthesisConfig | None = None):
        folder = find_preset(preset)
        model = XTTS.from_preset(folder)
        # A beam search has no chunks, and so no place where it could be stopped.
        settings = replace(settings or model.config.synthesis, num_beams=1)
        self._synthesizer = Synthesizer(model, settings)
        self._coder = OpenCoder(model.gpt, settings)
        self.name = folder.parent.name if folder.name == "preset" else folder.name
        self.languages = list(model.tokenizer.languages)
        self.own_voices = {voice.name: voice.about for voice in preset_voices(folder)}

    def warm_up(self) -> None:
        """Speak with a voice of zeros: graphs are built, front-ends loaded."""
        sizes = self._synthesizer.model.config.model
        latents = np.zeros((1, sizes.conditioning.num_latents, sizes.gpt.model_dim), "float32")
        embedding = np.zeros((1, sizes.speaker.embedding_dim), "float32")
        voice = Voice(latents, embedding, self._synthesizer.model.fingerprint)
        language = "en" if "en" in self.languages else self.languages[0]
        for _ in self.speak(_SHORT, voice, language, Options(), whole=False):
            pass
        # Its first chunk is enough.
        next(iter(self.speak(_LONG, voice, language, Options(), whole=False)), None)
        # Takes that are made together, and what judges them, have graphs of their own.
        for _ in self.speak(_SHORT, voice, language, Options(), whole=True):
            pass

    def own_voice(self, name: str) -> Voice:
        """One of the preset's."""
        return self._synthesizer.voice(name)

    def condition(self, recording: Path) -> Voice:
        """The voice of an audio file."""
        return self._synthesizer.condition([recording])

    def save(self, voice: Voice, path: Path) -> None:
        """Keep a voice as safetensors."""
        voice.save(path)

    def load(self, path: Path) -> Voice:
        """A voice of :meth:`save`."""
        return Voice.load(path, self._synthesizer.model)

    def check(self, text: str, language: str, options: Options) -> None:
        """Cut the text into pieces, which finds all that is wrong with it."""
        self._speaker(options).reading(text, language)

    def speak(
        self, text: str, voice: Voice, language: str, options: Options, whole: bool
    ) -> Iterator[np.ndarray]:
        """Chunks as they are made, or piece by piece after the best of their attempts."""
        speaker = self._speaker(options)
        if whole:
            return _best(speaker, speaker.reading(text, language), voice, language)
        return speaker.stream(text, voice, language)

    def _speaker(self, options: Options) -> Synthesizer:
        given, settings = options.given(), self._synthesizer.settings
        seed = int(given.pop("seed", settings.seed))
        speed = settings.speed * options.speed
        return self._synthesizer.sibling(seed, speed, self._coder.by(**given))


def _best(
    speaker: Synthesizer, reading: Reading, voice: Voice, language: str
) -> Iterator[np.ndarray]:
    """Each piece once it is settled; an empty chunk wherever the work may be stopped."""
    given = 0
    for attempts in reading.rounds():
        steps, takes = speaker.taking(attempts, voice, language), None
        while takes is None:
            try:
                next(steps)
                yield _NOTHING
            except StopIteration as end:
                takes = end.value
        for take in takes:
            reading.add(take)
        for take in reading.takes[given:]:
            yield from ([pause()] if given else [])
            yield take.waveform
            given += 1
