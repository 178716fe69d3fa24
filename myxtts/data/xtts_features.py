"""Features of recordings that XTTS trains on: mels, waveforms, embeddings, audio codes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import XTTS_CONDITIONING, XTTS_DVAE
from myxtts.audio.pitch import HIGHEST_HZ, LOWEST_HZ, pitch
from myxtts.data.store import Clip, Feature, log_mel, to_float, trimming, waveform
from myxtts.timing import FRAMES_PER_CODE, HOP_LENGTH, OUTPUT_RATE, SPEAKER_RATE

# Lengths are padded to this multiple, which bounds how often a graph is traced.
FRAME_MULTIPLE = 64
LOG_MEL_FLOOR = float(np.log(XTTS_DVAE.eps))


def features(encoder=None) -> dict[str, Feature]:
    """Log-mels ``(frames, 80)`` float16, int16 waveforms at 24 and at 16 kHz, what was trimmed.

    Args:
        encoder: frozen speaker encoder, whose ``embedding`` ``(dim,)`` of the whole clip is then
            all that is heard of a reference.
    """
    table = {
        "dvae_mel": log_mel(XTTS_DVAE),
        "wave": waveform(OUTPUT_RATE),
        "audio_16k": waveform(SPEAKER_RATE),
        "trim": trimming(),
    }
    if encoder is None:
        return table | {"cond_mel": log_mel(XTTS_CONDITIONING)}
    return table | {"embedding": speaker_embedding(encoder)}


def audio_codes(encode: Callable, weights: Iterable) -> Feature:
    """The codes int16 ``(codes,)`` of a clip by a DVAE that does not change in training.

    Args:
        encode: function from mels ``(1, frames, 80)``, not normalised, to codes.
        weights: arrays that decide them.
    """
    graph = tf.function(
        encode, input_signature=[tf.TensorSpec((1, None, XTTS_DVAE.n_mels))], autograph=False
    )

    def compute(clip: Clip) -> np.ndarray:
        mel = clip["dvae_mel"]
        # What follows a clip in a batch follows it here, so that its last codes are the same.
        frames = -(-(len(mel) + 1) // FRAME_MULTIPLE) * FRAME_MULTIPLE
        padded = np.full((1, frames, mel.shape[1]), LOG_MEL_FLOOR, "float32")
        padded[0, : len(mel)] = mel
        codes = np.asarray(graph(padded)[0])
        return codes[: codes_of(len(mel))].astype("int16")

    return Feature(compute, {"weights": _digest(weights)}, needs=("dvae_mel",))


def speaker_embedding(encoder) -> Feature:
    """The embedding of the whole clip by an encoder that does not change in training."""
    # Eagerly, a recurrent encoder would take a second a clip.
    graph = tf.function(
        lambda audio, lengths: encoder(audio, lengths),
        input_signature=[tf.TensorSpec((1, None)), tf.TensorSpec((1,), "int32")],
        autograph=False,
    )

    def compute(clip: Clip) -> np.ndarray:
        audio = to_float(clip["audio_16k"])
        return np.asarray(graph(audio[None], np.array([len(audio)], "int32"))[0], "float32")

    settings = {
        "weights": _digest(encoder.weights),
        "precision": encoder.precision,
    }
    return Feature(compute, settings, needs=("audio_16k",))


def pitches() -> Feature:
    """Hz of each 256 samples of ``wave``, float32 ``(frames,)``; 0 where it is not voiced."""

    def compute(clip: Clip) -> np.ndarray:
        return pitch(to_float(clip["wave"]), OUTPUT_RATE, HOP_LENGTH)

    return Feature(compute, {"lowest": LOWEST_HZ, "highest": HIGHEST_HZ}, needs=("wave",))


def _digest(arrays: Iterable) -> str:
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array))
    return total.hexdigest()


def codes_of(frames):
    """Audio codes of so many mel frames."""
    return -(-frames // FRAMES_PER_CODE)
