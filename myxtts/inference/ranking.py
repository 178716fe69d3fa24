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

    def scores(
        self, request: Request, made: list[Codes], waveforms: list[np.ndarray], voice: Voice
    ) -> list[float]:
        """Of takes of one text, each ``(samples,)`` at 24 kHz; minus infinity without codes."""
        found = np.full(len(made), -math.inf)
        spoken = [number for number, one in enumerate(made) if len(one.codes)]
        if spoken:
            sure = self.confidences(request, [made[number].codes for number in spoken])
            like = self.likenesses([waveforms[number] for number in spoken], voice)
            found[spoken] = sure + LIKENESS * like
        return found.tolist()

    def confidences(self, request: Request, codes: list[np.ndarray]) -> np.ndarray:
        """See :func:`myxtts.generation.confidence.confidence`; of each row of codes."""
        rows, counts = len(codes), [len(one) for one in codes]
        ids, lengths = padded_text(request, self._gpt.max_text_tokens)
        most = max(counts)
        size = max(most, min(round_up(most, CODES_MULTIPLE), self._gpt.max_audio_tokens))
        rows_of_codes = [np.pad(one, (0, size - len(one))) for one in codes]
        inputs = {
            "conditioning_latents": tf.constant(np.repeat(request.latents, rows, axis=0)),
            "text_ids": tf.repeat(ids, rows, axis=0),
            "text_lengths": tf.repeat(lengths, rows),
            "audio_codes": tf.constant(np.stack(rows_of_codes), "int32"),
            "code_lengths": tf.constant(counts),
        }
        return np.asarray(self._sure(inputs))

    def likenesses(self, waveforms: list[np.ndarray], voice: Voice) -> np.ndarray:
        """Cosine of each take's speaker embedding to the voice's; 0 of too little speech."""
        speech = [resample(waveform, OUTPUT_RATE, MODEL_RATE) for waveform in waveforms]
        long = [number for number, one in enumerate(speech) if len(one) >= LEAST_SAMPLES]
        cosines = np.zeros(len(speech))
        if long:
            own = self._embedding(*padded([speech[number] for number in long]))
            own = np.reshape(own, (len(long), -1))
            wanted = np.ravel(voice.speaker_embedding)
            lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(wanted)
            cosines[long] = own @ wanted / np.maximum(lengths, 1e-10)
        return cosines
