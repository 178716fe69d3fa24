"""Signs that a model rambles or cuts its speech short, for rows of speech at once."""

from __future__ import annotations

import math

from keras import ops

from myxtts.audio.mel import sequence_mask
from myxtts.generation.vocoding import length_scale
from myxtts.timing import OUTPUT_RATE, SECONDS_PER_CODE

# A second and a half of the same few codes over and over is no speech.
REPEATED_SECONDS = 1.5
LONGEST_CYCLE = 8
SILENCE_DB = -50.0
SILENT_SECONDS = 1.5
FRAME = OUTPUT_RATE // 50
# Where speech is over, the stop code leads; a draw of it far behind another cuts a word.
STOP_ODDS = 5.0
NO_CODE = -1


def signs(codes, lengths, finished, waveform, samples, stops, speed: float = 1.0) -> dict:
    """What is wrong with speech, bool ``(batch,)`` each.

    Args:
        codes, lengths: see :func:`repeats`.
        finished: bool ``(batch,)``, whether the stop code came.
        waveform, samples: see :func:`falls_silent`.
        stops: of :func:`stops_doubtfully`, for the latent behind the last code.
        speed: of the speech.

    Returns:
        The flags by the names of :data:`myxtts.generation.driver.FLAGS`.
    """
    return {
        "unfinished": ops.logical_not(finished),
        "repeats": repeats(codes, lengths),
        "silence": falls_silent(waveform, samples, speed),
        "doubtful_stop": ops.logical_and(finished, stops),
    }


def repeats(codes, lengths):
    """Whether rows of codes go round in a circle of at most eight for 1.5 seconds.

    Args:
        codes: int ``(batch, codes)``, padded with anything.
        lengths: int ``(batch,)``, codes of each row.

    Returns:
        bool ``(batch,)``.
    """
    size = ops.shape(codes)[1]
    own = sequence_mask(lengths, size)
    # What lies before a row's beginning equals nothing.
    earlier = [
        ops.pad(codes, [[0, 0], [period, 0]], constant_values=NO_CODE)[:, :size]
        for period in range(1, LONGEST_CYCLE + 1)
    ]
    same = ops.logical_and(ops.equal(codes[:, None], ops.stack(earlier, axis=1)), own[:, None])
    return ops.any(_runs(same, math.ceil(REPEATED_SECONDS / SECONDS_PER_CODE)), axis=1)


def falls_silent(waveform, samples, speed: float = 1.0):
    """Whether rows of speech are at least 50 dB below their loudest part for 1.5 s on end.

    Args:
        waveform: float ``(batch, samples)`` at 24 kHz, padded with anything.
        samples: int ``(batch,)``, of each row.
        speed: pauses of slow speech may be as much longer.

    Returns:
        bool ``(batch,)``.
    """
    rows, count = ops.shape(waveform)[0], ops.shape(waveform)[1] // FRAME
    frames = ops.reshape(waveform[:, : count * FRAME], (rows, count, FRAME))
    own = sequence_mask(samples // FRAME, count)
    levels = ops.where(own, ops.sqrt(ops.mean(ops.square(frames), axis=2)), 0.0)
    loudest = ops.max(ops.pad(levels, [[0, 0], [0, 1]]), axis=1, keepdims=True)
    silent = levels <= ops.maximum(loudest, 1e-10) * 10 ** (SILENCE_DB / 20)
    needed = math.ceil(SILENT_SECONDS * length_scale(speed) * OUTPUT_RATE / FRAME)
    return _runs(ops.logical_and(silent, own), needed)


def stops_doubtfully(logits, stop_code: int):
    """Whether some code was five times as likely as the stop code, when that was drawn.

    Args:
        logits: float ``(batch, num_audio_tokens)``, before temperature, penalties and filters.
        stop_code: id of the stop code.

    Returns:
        bool ``(batch,)``.
    """
    stop = ops.equal(ops.arange(ops.shape(logits)[1]), stop_code)
    others = ops.max(ops.where(stop, -math.inf, logits), axis=1)
    return others - logits[:, stop_code] > math.log(STOP_ODDS)


def _runs(values, needed: int):
    """Whether bool ``(..., length)`` is true for ``needed`` places on end."""
    counts = ops.cumsum(ops.cast(values, "int32"), axis=-1)
    counts = ops.pad(counts, [[0, 0]] * (len(values.shape) - 1) + [[1, 0]])
    return ops.any(ops.equal(counts[..., needed:] - counts[..., :-needed], needed), axis=-1)
