"""Which frames of a stream can no longer change, so that each is given out once.

A frame of the decoder is made of latents by linear interpolation, maybe behind convolutions, and
its samples by convolutions that hear a bounded neighbourhood.
"""

from __future__ import annotations

from keras import ops

from myxtts.models.hifigan import scaled_length
from myxtts.timing import FRAMES_PER_CODE, RATE_RATIO

# Without their successors, as many quarter-latents at the end may still move in HiFi-GAN.
UNSETTLED = 3


def ready_frames(latents, final, unsettled: int = UNSETTLED):
    """Frames that so many latents settle; all of them where the speech has ended.

    Args:
        latents: int, or int ``(batch,)``.
        final: bool of the same shape.
        unsettled: quarter-latents at the end that their successors may move, the decoder's.
    """
    quarters = FRAMES_PER_CODE * latents - ops.where(final, 0, unsettled)
    return ops.maximum(scaled_length(quarters, RATE_RATIO), 0)


def settled_frames(ready, final, lookahead: int):
    """Frames whose samples are settled, too: those that hear no frame behind ``ready``."""
    return ops.where(final, ready, ready - lookahead)
