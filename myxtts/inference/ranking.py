"""Which of several takes of a text is the best: the surest read, in the likest voice."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from myxtts.audio.io import padded, resample
from myxtts.generation.confidence import confidence
from myxtts.generation.references import LEAST_SAMPLES
from myxtts.inference.coder import Codes, Request, padded_text, round_up
from myxtts.inference.voice import Voice
from myxtts.models.xtts import XTTS
from myxtts.timing import MODEL_RATE, OUTPUT_RATE

# Takes are padded to it, so that few shapes serve all.
CODES_MULTIPLE = 64
# Nats a code that a cosine of 1 to the voice is worth. Takes of one text differ by 0.3 nats and by
# 0.04 in the cosine: with the shipped model this weight left the fewest word errors of 0 to 10.
LIKENESS = 2.0


class Ranking:
    """Scores takes; higher is better, and takes of one text alone can be compared.

    Args:
        model: that speaks.
        embedding: gives speaker embeddings ``(clips, dim)`` of padded audio at 22.05 kHz and its
            lengths.
    """

    def __init__(self, model: XTTS, embedding: Callable):
        self._gpt, self._embedding = model.gpt, embedding
        training = model.config.training
        self._sure = tf.function(
            lambda inputs: confidence(model.gpt, inputs, training),
            reduce_retracing=True,
            autograph=False,
        )

    def score(self, request: Request, made: Codes, waveform: np.ndarray, voice: Voice) -> float:
        """Of the take that ``request`` gave, ``waveform`` ``(samples,)`` at 24 kHz."""
        if not len(made.codes):
            return -math.inf
        return self.confidence(request, made) + LIKENESS * self.likeness(waveform, voice)

    def confidence(self, request: Request, made: Codes) -> float:
        """See :func:`myxtts.generation.confidence.confidence`."""
        text_ids, text_lengths = padded_text(request, self._gpt.max_text_tokens)
        count = len(made.codes)
        size = max(count, min(round_up(count, CODES_MULTIPLE), self._gpt.max_audio_tokens))
        inputs = {
            "conditioning_latents": tf.constant(request.latents),
            "text_ids": text_ids,
            "text_lengths": text_lengths,
            "audio_codes": tf.constant(np.pad(made.codes, (0, size - count))[None], "int32"),
            "code_lengths": tf.constant([count]),
        }
        return float(self._sure(inputs)[0])

    def likeness(self, waveform: np.ndarray, voice: Voice) -> float:
        """Cosine of the take's speaker embedding to the voice's; 0 of too little speech."""
        speech = resample(waveform, OUTPUT_RATE, MODEL_RATE)
        if len(speech) < LEAST_SAMPLES:
            return 0.0
        own = np.ravel(self._embedding(*padded([speech])))
        wanted = np.ravel(voice.speaker_embedding)
        lengths = np.linalg.norm(own) * np.linalg.norm(wanted)
        return float(own @ wanted / max(lengths, 1e-10))
