"""Speech in pieces while it is being made: a vocoder that decodes every frame once.

A decoder hears a bounded number of frames around each sample (its ``receptive_field`` before,
its ``lookahead`` behind). A window with that many frames on either side therefore gives exactly
the samples of the whole, and nothing has to be faded. Another speed is had as for the whole, too:
by a linear interpolation of the latents, of which every one depends on two.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from myxtts.generation.frames import ready_frames, settled_frames
from myxtts.generation.vocoding import bounded, length_scale
from myxtts.models.decoder import Decoder
from myxtts.models.hifigan import interpolate, scaled_length
from myxtts.timing import FRAMES_PER_CODE, HOP_LENGTH, RATE_RATIO

# Latents that the interpolations reach beyond the frames they make.
MARGIN = 2


@dataclass(frozen=True)
class SpeedState:
    """Where the change of speed stands.

    Attributes:
        latents: ``(length, latent_dim)`` at the model's own speed that are still needed.
        first: number of the first of them in the stream.
        made: latents at the wanted speed that have been given out.
    """

    latents: np.ndarray
    first: int = 0
    made: int = 0


@dataclass(frozen=True)
class VocoderState:
    """Where a stream stands.

    Attributes:
        latents: ``(length, latent_dim)``, the latents that are still needed.
        speed: state of the change of speed before it.
        first: number of the first of ``latents`` in the stream.
        emitted: frames whose samples have been given out.
    """

    latents: np.ndarray
    speed: SpeedState
    first: int = 0
    emitted: int = 0


class StreamingSpeed:
    """Interpolates latents in time as they come, to what ``stretched`` makes of the whole.

    Args:
        speed: see :func:`myxtts.generation.vocoding.stretched`.
    """

    def __init__(self, speed: float):
        self.scale = length_scale(speed)

    def push(
        self, state: SpeedState, latents: np.ndarray, final: bool
    ) -> tuple[np.ndarray, SpeedState]:
        """Take ``(length, latent_dim)`` in; those that can no longer change and the next state."""
        if self.scale == 1:
            return latents, state
        kept = np.concatenate([state.latents, latents])
        heard = state.first + len(kept)
        ready = self._ready(heard, final)
        if ready <= state.made:
            return kept[:0], replace(state, latents=kept)
        made = kept[:1]
        if scaled_length(heard, self.scale):
            made = interpolate(kept[None], self.scale, state.first, state.made)[0].numpy()
        return made[: ready - state.made], self._forget(SpeedState(kept, state.first, ready))

    def _ready(self, heard: int, final: bool) -> int:
        """Latents that so many at the model's own speed settle."""
        length = scaled_length(heard, self.scale)
        if final:
            return max(length, min(heard, 1))
        # Whether a sequence is too short to grow, and stays as it is, is not known before.
        return 0 if length == heard else max(0, int((heard - 0.5) * self.scale - 0.5))

    def _forget(self, state: SpeedState) -> SpeedState:
        """Drop the latents that no coming one needs."""
        needed = int((state.made + 0.5) / self.scale - 0.5) - MARGIN
        drop = max(0, needed - state.first)
        return SpeedState(state.latents[drop:], state.first + drop, state.made)


class StreamingVocoder:
    """Turns latents into a waveform as they come.

    Args:
        decoder: of the model.
        speed: how fast to speak, see :func:`myxtts.generation.vocoding.stretched`.
        vocode: in the place of the decoder's own.
    """

    def __init__(self, decoder: Decoder, speed: float = 1.0, vocode: Callable | None = None):
        self.decoder = decoder
        self.vocode = vocode or decoder.vocode
        self.speed = StreamingSpeed(speed)
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

    def at_speed(self, speed: float) -> StreamingVocoder:
        """The same graph at another speed."""
        other = copy.copy(self)
        other.speed = StreamingSpeed(speed)
        return other

    def start(self) -> VocoderState:
        """State before the first latent."""
        nothing = np.zeros((0, self.decoder.latent_dim), "float32")
        return VocoderState(nothing, SpeedState(nothing))

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
        latents, speed = self.speed.push(state.speed, np.asarray(latents, "float32"), final)
        kept = np.concatenate([state.latents, latents])
        state = replace(state, latents=kept, speed=speed)
        ready = int(ready_frames(state.first + len(kept), final, self.decoder.unsettled))
        last = int(settled_frames(ready, final, self.decoder.lookahead))
        if last <= state.emitted:
            return np.zeros(0, "float32"), state
        begin = max(0, state.emitted - self.context)
        wave = self._window(kept[None], speaker_embedding, state.first, begin, ready)[0].numpy()
        wave = wave[(state.emitted - begin) * HOP_LENGTH : (last - begin) * HOP_LENGTH]
        return bounded(wave), self._forget(replace(state, emitted=last))

    def _vocode(self, latents, speaker_embedding, first_latent, first_frame, ready):
        frames = self.decoder.frames(latents, speaker_embedding, first_latent, first_frame)
        return self.vocode(frames[:, : ready - first_frame], speaker_embedding)

    def _forget(self, state: VocoderState) -> VocoderState:
        """Drop the latents that no coming frame needs."""
        needed = int((state.emitted - self.context) / (FRAMES_PER_CODE * RATE_RATIO)) - MARGIN
        drop = max(0, needed - self.decoder.latents_behind - state.first)
        return replace(state, latents=state.latents[drop:], first=state.first + drop)
