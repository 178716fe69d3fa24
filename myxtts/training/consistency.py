"""How near the speaker of segments is to that of the recordings they are renderings of."""

from __future__ import annotations

import keras
import tensorflow as tf

from myxtts.audio.resample import SincResampler
from myxtts.losses import whole_mean
from myxtts.timing import OUTPUT_RATE, SPEAKER_RATE

# A partial utterance of the encoder that hears least at a time; longer costs more and tells little.
HEARD_S = 1.6


class SpeakerConsistency:
    """The speaker consistency loss of YourTTS (Casanova et al. 2022).

    One minus the cosine of what a speaker encoder makes of the recording and of the rendering. It
    hears the segments of an utterance one behind the other, at most 1.6 seconds of them.

    Args:
        encoder: ``(batch, samples)`` at 16 kHz to embeddings; it learns nothing.
        per_utterance: segments that follow each other and are of one utterance.
    """

    def __init__(self, encoder: keras.Model, per_utterance: int):
        self.encoder, self.per_utterance = encoder, per_utterance
        self.resampler = SincResampler(OUTPUT_RATE, SPEAKER_RATE, name="to_speaker_rate")

    def __call__(self, real, fake):
        """Mean over utterances; both ``(utterances * per_utterance, samples)`` at 24 kHz."""
        heard = tf.concat([self._joined(real), self._joined(fake)], axis=0)
        embeddings = self.encoder(self.resampler(heard), training=False)
        embeddings = tf.math.l2_normalize(tf.cast(embeddings, "float32"), axis=-1)
        known, spoken = tf.split(embeddings, 2)
        return 1.0 - whole_mean(tf.reduce_sum(tf.stop_gradient(known) * spoken, axis=-1))

    def _joined(self, wave):
        wave = tf.reshape(wave, (-1, self.per_utterance * wave.shape[-1]))
        return wave[:, : int(HEARD_S * OUTPUT_RATE)]
