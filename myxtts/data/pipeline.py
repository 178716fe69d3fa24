"""Batches of features as ``tf.data`` streams that can begin at any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.data.corpus import Corpus
from myxtts.data.plan import FRAME_MULTIPLE, TEXT_MULTIPLE, BatchPlan
from myxtts.timing import FRAME_SECONDS, OUTPUT_RATE, SPEAKER_RATE

# The audio codes of a training crop see one and a half seconds.
DVAE_CROP_FRAMES = 128
LOG_MEL_FLOOR = float(np.log(XTTS_DVAE.eps))


@dataclass(frozen=True)
class BatchOptions:
    """What goes into the batches of kinds ``gpt`` and ``decoder``.

    Attributes:
        seed: of crops and references.
        reference: ``same_speaker``, ``same_utterance`` or ``masked_prompt``.
        reference_seconds: longest conditioning audio.
        reference_min_seconds: shortest; 0 for always the longest.
        reference_audio: whether the reference's 16 kHz waveform is needed.
    """

    seed: int
    reference: str = "same_speaker"
    reference_seconds: float = 4.0
    reference_min_seconds: float = 0.0
    reference_audio: bool = False


def make_dataset(
    corpus: Corpus, plan: BatchPlan, kind: str, options: BatchOptions, start_step: int = 0
) -> tf.data.Dataset:
    """Endless stream of batches that begins at the batch numbered ``start_step``.

    Args:
        corpus: screened utterances.
        plan: which of them meet.
        kind: ``dvae``, ``gpt`` or ``decoder``; see :func:`dvae_batch`, :func:`gpt_batch`
            and :func:`decoder_batch`.
        options: crops and references.
        start_step: global number of the first batch.
    """
    build = BUILDERS[kind]

    def stream() -> Iterator[dict]:
        for epoch, indices in plan.stream(start_step):
            yield build(corpus, indices, epoch, options)

    return _dataset(stream, build(corpus, np.array([0]), 0, options))


def make_validation(corpus: Corpus, batch_size: int, kind: str, options: BatchOptions):
    """One pass over ``corpus`` in a fixed order with fixed crops and references."""
    build = BUILDERS[kind]
    order = np.argsort(corpus.frames, kind="stable")
    cuts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

    def stream() -> Iterator[dict]:
        for indices in cuts:
            yield build(corpus, indices, 0, options)

    return _dataset(stream, build(corpus, np.array([0]), 0, options))


def dvae_batch(corpus: Corpus, indices: np.ndarray, epoch: int, options: BatchOptions) -> dict:
    """Random crops: ``mel`` ``(batch, frames, 80)`` un-normalised, ``mel_mask`` bool."""
    mels = []
    for index in indices:
        mel = corpus.features(index)["dvae_mel"]
        rng = _rng(options, epoch, index)
        mels.append(_crop(mel, DVAE_CROP_FRAMES, rng))
    mel = np.full((len(mels), DVAE_CROP_FRAMES, XTTS_DVAE.n_mels), LOG_MEL_FLOOR, "float32")
    mask = np.zeros(mel.shape[:2], bool)
    for row, piece in enumerate(mels):
        mel[row, : len(piece)] = piece
        mask[row, : len(piece)] = True
    return {"mel": mel, "mel_mask": mask}


def gpt_batch(corpus: Corpus, indices: np.ndarray, epoch: int, options: BatchOptions) -> dict:
    """Text, speech and the voice's reference.

    Returns:
        ``text_ids`` ``(batch, text)``, ``text_lengths``, ``mel`` ``(batch, frames, 80)``
        un-normalised, ``mel_lengths``, ``speaker_ids``, and of another clip of the same
        speaker (or of the clip itself) ``reference_mel`` ``(batch, frames, 80)`` and
        ``reference_mask``; ``embedding`` ``(batch, dim)`` when the corpus has
        embeddings, ``reference_16k`` ``(batch, samples)`` and ``reference_16k_lengths``
        when the options ask for it, ``prompt_frames`` ``(batch, 2)``, first and end of the
        frames of ``mel`` that the reference is, for masked prompts.
    """
    texts = [corpus.text_ids[index] for index in indices]
    mels = [corpus.features(index)["dvae_mel"] for index in indices]
    batch = {
        "text_ids": _pad(texts, TEXT_MULTIPLE, 0, "int32"),
        "text_lengths": _lengths(texts),
        "mel": _pad(mels, FRAME_MULTIPLE, LOG_MEL_FLOOR),
        "mel_lengths": _lengths(mels),
        "speaker_ids": corpus.speakers[indices].astype("int32"),
    }
    return batch | _references(corpus, indices, epoch, options)


def decoder_batch(corpus: Corpus, indices: np.ndarray, epoch: int, options: BatchOptions) -> dict:
    """A ``gpt`` batch with ``wave`` ``(batch, samples)`` at 24 kHz and ``wave_lengths``."""
    waves = [_float(corpus.features(index)["wave"]) for index in indices]
    return gpt_batch(corpus, indices, epoch, options) | {
        "wave": _pad(waves, OUTPUT_RATE // 2, 0.0),
        "wave_lengths": _lengths(waves),
    }


BUILDERS: dict[str, Callable[[Corpus, np.ndarray, int, BatchOptions], dict]] = {
    "dvae": dvae_batch,
    "gpt": gpt_batch,
    "decoder": decoder_batch,
}


def _references(corpus: Corpus, indices: np.ndarray, epoch: int, options: BatchOptions) -> dict:
    chosen, crops = [], []
    for index in indices:
        rng = _rng(options, epoch, index)
        others = corpus.companions(index)
        if options.reference == "same_speaker" and len(others):
            index = rng.choice(others)
        chosen.append(index)
        crops.append(_reference_crop(corpus.features(index), options, rng))
    mels, waves, spans = zip(*crops, strict=True)
    mel = _pad(mels, FRAME_MULTIPLE, LOG_MEL_FLOOR)
    batch = {
        "reference_mel": mel,
        "reference_mask": np.arange(mel.shape[1])[None] < _lengths(mels)[:, None],
    }
    if options.reference_audio:
        batch["reference_16k"] = _pad(waves, SPEAKER_RATE, 0.0)
        batch["reference_16k_lengths"] = _lengths(waves)
    if options.reference == "masked_prompt":
        batch["prompt_frames"] = np.array(spans, "int32")
    if corpus.embeddings is not None:
        batch["embedding"] = corpus.embeddings[chosen]
    return batch


def _reference_crop(features: dict, options: BatchOptions, rng: np.random.Generator) -> tuple:
    """One random stretch as conditioning mel and 16 kHz waveform, and its frames' span."""
    mel = features["cond_mel"]
    seconds = _reference_seconds(len(mel), options, rng)
    size = min(max(1, int(seconds / FRAME_SECONDS)), len(mel))
    start = int(rng.integers(0, len(mel) - size + 1))
    first = int(start * FRAME_SECONDS * SPEAKER_RATE)
    wave = features["audio_16k"][first : first + int(seconds * SPEAKER_RATE)]
    return mel[start : start + size].astype("float32"), _float(wave), (start, start + size)


def _reference_seconds(frames: int, options: BatchOptions, rng: np.random.Generator) -> float:
    """How long the reference of a clip of so many frames is to be."""
    seconds = options.reference_seconds
    if options.reference_min_seconds:
        seconds = rng.uniform(options.reference_min_seconds, seconds)
    if options.reference == "masked_prompt" and seconds > frames * FRAME_SECONDS:
        # As Coqui's: something has to be left to learn.
        return (frames // 2 + 0.5) * FRAME_SECONDS
    return seconds


def _crop(mel: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    start = int(rng.integers(0, max(1, len(mel) - size + 1)))
    return mel[start : start + size].astype("float32")


def _rng(options: BatchOptions, epoch: int, index: int) -> np.random.Generator:
    return np.random.default_rng([options.seed, epoch, int(index)])


def _pad(rows: list[np.ndarray], multiple: int, value: float, dtype="float32") -> np.ndarray:
    """Stack rows padded to the longest, rounded up to ``multiple``."""
    longest = max(len(row) for row in rows)
    size = -(-longest // multiple) * multiple
    stacked = np.full((len(rows), size, *rows[0].shape[1:]), value, dtype)
    for target, row in zip(stacked, rows, strict=True):
        target[: len(row)] = row
    return stacked


def _lengths(rows: list[np.ndarray]) -> np.ndarray:
    return np.array([len(row) for row in rows], "int32")


def _float(samples: np.ndarray) -> np.ndarray:
    return samples.astype("float32") / 32767


def _dataset(stream: Callable[[], Iterator[dict]], example: dict) -> tf.data.Dataset:
    signature = {name: _spec(name, value) for name, value in example.items()}
    return tf.data.Dataset.from_generator(stream, output_signature=signature).prefetch(4)


def _spec(name: str, value: np.ndarray) -> tf.TensorSpec:
    """Batch and length may vary; channels, and the size of an embedding, may not."""
    fixed = value.shape[1:] if name == "embedding" else value.shape[2:]
    free = value.ndim - len(fixed)
    return tf.TensorSpec([None] * free + list(fixed), value.dtype)
