"""Speech in pieces while it is being made: a vocoder that decodes every frame once.

The HiFi-GAN decoder hears a bounded number of frames around each sample
(:attr:`~myxtts.models.hifigan.HifiDecoder.receptive_field`). A window with that many
frames on either side therefore gives exactly the samples of the whole, and nothing
has to be faded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from myxtts.models.hifigan import FRAMES_PER_LATENT, HOP_LENGTH, RATE_RATIO, HifiDecoder

# Latents that the two interpolations reach beyond the frames they make.
MARGIN = 2


@dataclass(frozen=True)
class VocoderState:
    """Where a stream stands.

    Attributes:
        latents: ``(length, latent_dim)``, the latents that are still needed.
        first: number of the first of them in the stream.
        emitted: frames whose samples have been given out.
    """

    latents: np.ndarray
    first: int = 0
    emitted: int = 0


class StreamingVocoder:
    """Turns latents into a waveform as they come.

    Args:
        decoder: of the model.
    """

    def __init__(self, decoder: HifiDecoder):
        self.decoder = decoder
        self.context = decoder.receptive_field
        self._window = tf.function(
            self._vocode,
            input_signature=[
                tf.TensorSpec((1, None, decoder.latent_dim)),
                tf.TensorSpec((1, decoder.speaker_dim)),
                *[tf.TensorSpec((), "int32")] * 3,
            ],
            autograph=False,
        )

    def start(self) -> VocoderState:
        """State before the first latent."""
        return VocoderState(np.zeros((0, self.decoder.latent_dim), "float32"))

    def push(
        self, state: VocoderState, latents: np.ndarray, speaker_embedding, final: bool
    ) -> tuple[np.ndarray, VocoderState]:
        """Take more latents in and give the samples out that can no longer change.

        Args:
            state: of :meth:`start` or of the call before.
            latents: ``(length, latent_dim)``; may be empty.
            speaker_embedding: ``(1, speaker_dim)``.
            final: whether these are the last, so that everything comes out.

        Returns:
            Float32 ``(samples,)`` at 24 kHz, maybe empty, and the next state.
        """
        kept = np.concatenate([state.latents, np.asarray(latents, "float32")])
        ready = self._ready(state.first + len(kept), final)
        last = ready if final else ready - self.context
        if last <= state.emitted:
            return np.zeros(0, "float32"), VocoderState(kept, state.first, state.emitted)
        begin = max(0, state.emitted - self.context)
        wave = self._window(kept[None], speaker_embedding, state.first, begin, ready)[0].numpy()
        wave = wave[(state.emitted - begin) * HOP_LENGTH : (last - begin) * HOP_LENGTH]
        return wave, self._forget(VocoderState(kept, state.first, last))

    def _vocode(self, latents, speaker_embedding, first_latent, first_frame, ready):
        frames = self.decoder.frames(latents, first_latent, first_frame)
        return self.decoder.vocode(frames[:, : ready - first_frame], speaker_embedding)

    @staticmethod
    def _ready(latents: int, final: bool) -> int:
        """Frames that so many latents settle."""
        # Without their successors the last three quarter-latents may still move.
        quarters = FRAMES_PER_LATENT * latents - (0 if final else 3)
        return max(0, int(quarters * RATE_RATIO))

    def _forget(self, state: VocoderState) -> VocoderState:
        """Drop the latents that no coming frame needs."""
        needed = int((state.emitted - self.context) / (FRAMES_PER_LATENT * RATE_RATIO)) - MARGIN
        drop = max(0, needed - state.first)
        return VocoderState(state.latents[drop:], state.first + drop, state.emitted)
