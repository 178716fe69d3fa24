"""What XTTS trains on: the limits of its corpora, and its batches."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.config import DataConfig, XTTSConfig
from myxtts.data.alignment import UNKNOWN_TOKEN, check_durations, code_tokens
from myxtts.data.batches import lengths_of, pad, rounded_down
from myxtts.data.buckets import Buckets
from myxtts.data.corpus import Corpus
from myxtts.data.formats import Utterance, find_utterances
from myxtts.data.languages import require_codes, tell_languages
from myxtts.data.readings import Readings
from myxtts.data.screening import Report, Screen, screen_corpus
from myxtts.data.store import FeatureStore, to_float
from myxtts.data.xtts_features import FRAME_MULTIPLE, LOG_MEL_FLOOR, codes_of, features
from myxtts.errors import AudioError, DataError, TextError
from myxtts.text.cleaners import is_speakable
from myxtts.text.tokenizer import VoiceBpeTokenizer
from myxtts.timing import FRAME_SECONDS, FRAMES_PER_CODE, OUTPUT_RATE, SPEAKER_RATE

logger = logging.getLogger(__name__)

# Lengths are padded to multiples of these too.
TEXT_MULTIPLE = 16
CODE_MULTIPLE = FRAME_MULTIPLE // FRAMES_PER_CODE
# What arrays of batches are padded with, 0 aside.
PADDING = {
    "mel": LOG_MEL_FLOOR,
    "reference_mel": LOG_MEL_FLOOR,
    "code_tokens": UNKNOWN_TOKEN,
    "tokens": UNKNOWN_TOKEN,
}
# The audio codes of a training crop see one and a half seconds.
DVAE_CROP_FRAMES = 128
# Share of the crops whose speaker a DVAE that hears speakers is not told.
UNKNOWN_SPEAKERS = 0.1
# Parts of an audio code of which each has a phoneme of its own: many last less than a code.
TOKENS_PER_CODE = 2


def open_store(config: DataConfig, cache_dir: str | Path, encoder=None) -> FeatureStore:
    """The store of :func:`features` of recordings that ``config`` lets in."""
    screen = Screen(config.min_seconds, config.max_seconds, config.silence_db, config.trim_silence)
    return FeatureStore(screen, features(encoder), cache_dir)


def open_corpus(
    folder: str | Path,
    config: XTTSConfig,
    store: FeatureStore,
    make_tokenizer: Callable[[list[Utterance]], VoiceBpeTokenizer],
) -> tuple[Corpus, Report]:
    """Find, screen and load a corpus.

    Args:
        folder: the corpus.
        config: its ``data`` and the model's limits are used.
        store: of its features.
        make_tokenizer: called with the utterances whose texts can be spoken.

    Raises:
        DataError: there is no usable utterance, or a language is no code.
    """
    language = config.data.language
    found = find_utterances(folder, config.data.dataset_format, language)
    require_codes(found, language)
    share = config.data.phoneme_share
    if share and not any(item.word_phonemes for item in found):
        raise DataError(
            f"{folder}: data.phoneme_share needs 'word_phonemes' in metadata.jsonl, and no line "
            "has them; leave it at 0."
        )
    spoken = [item for item in found if is_speakable(item.text)]
    tokenizer = make_tokenizer(spoken)
    tell_languages(spoken, language, tokenizer)
    read = cache(partial(Readings, tokenizer=tokenizer, phoneme_share=share))
    # Batches are padded before the GPT sees them, and its positions must still suffice.
    limit = rounded_down(config.model.gpt.max_text_tokens, TEXT_MULTIPLE)
    # The stops that Coqui's training adds want room too.
    codes = config.model.gpt.max_audio_tokens - (3 if config.training.coqui_compatible else 0)
    max_frames = rounded_down(FRAMES_PER_CODE * codes, FRAME_MULTIPLE)

    def text_problem(utterance: Utterance) -> str | None:
        if not is_speakable(utterance.text):
            return "no text"
        try:
            length = read(utterance).longest
        except TextError as error:
            return str(error).rstrip(".")
        return f"text too long: {length} tokens" if length > limit else None

    hearing = partial(hear, max_frames=max_frames)
    usable, report = screen_corpus(folder, found, store, hearing, text_problem)
    logger.info("%s", report)
    if timed := sum(bool(item.durations) for item in usable):
        logger.info("%s: durations of %d utterances are known", folder, timed)
    if share:
        written = sum(bool(item.word_phonemes) for item in usable)
        logger.info("%s: phonemes of %d utterances are known", folder, written)
    return Corpus(usable, store, "dvae_mel", tokenizer, read), report


def hear(
    utterance: Utterance, clip: Mapping[str, np.ndarray], max_frames: float = math.inf
) -> float:
    """Seconds of a clip; an ``AudioError`` beyond so many frames of its mel.

    Durations that are off are refused as well.
    """
    check_durations(utterance, float(clip["trim"][1]))
    seconds = len(clip["wave"]) / OUTPUT_RATE
    if len(clip["dvae_mel"]) > max_frames:
        raise AudioError(f"too long for the model: {seconds:.2f} s")
    return seconds


def mel_stats(corpus: Corpus) -> np.ndarray:
    """Mean magnitude of every log-mel channel over a corpus, ``(80,)`` float32."""
    total = np.zeros(XTTS_DVAE.n_mels, "float64")
    for index in range(len(corpus)):
        total += np.abs(corpus.feature(index, "dvae_mel").astype("float64")).sum(axis=0)
    return np.maximum(total / max(corpus.lengths.sum(), 1), 1e-3).astype("float32")


@dataclass(frozen=True)
class BatchOptions:
    """What goes into the batches.

    Attributes:
        seed: of crops and references.
        data: where references come from, and how long they are.
        reference_audio: whether the reference's 16 kHz waveform is needed.
        speaker: whether the DVAE hears the speaker embedding.
        tokens: whether the DVAE's codes are to tell what is spoken.
    """

    seed: int
    data: DataConfig = DataConfig()
    reference_audio: bool = False
    speaker: bool = False
    tokens: bool = False

    def rng(self, epoch: int, index: int, *purpose: int) -> np.random.Generator:
        """Of one utterance in one epoch, whatever the batch; another one for each purpose."""
        return np.random.default_rng([self.seed, epoch, int(index), *purpose])

    def text_rng(self, epoch: int, index: int) -> np.random.Generator:
        """Of how the utterance's text is read."""
        return np.random.default_rng([self.seed, epoch, int(index), 1])


def batch_options(config: XTTSConfig, hears_speaker: bool = False) -> BatchOptions:
    """Options of a stage; ``hears_speaker``: its loss reaches the speaker embedding."""
    model = config.model
    own = not model.use_pretrained_speaker_encoder
    unfrozen = not own and not model.freeze_speaker_encoder
    wave = unfrozen or (own and hears_speaker)
    training = config.training
    return BatchOptions(
        training.seed,
        config.data,
        wave,
        speaker=bool(model.dvae.speaker_dim),
        tokens=bool(training.code_token_loss_weight),
    )


def dvae_batch(corpus: Corpus, indices: np.ndarray, epoch: int, options: BatchOptions) -> dict:
    """Random crops: ``mel`` ``(batch, frames, 80)`` un-normalised, ``mel_mask`` bool.

    If the options ask for it, with the ``embedding`` ``(batch, dim)`` of their whole clips; of
    some rows it is zero, so that the DVAE can do without. And with ``tokens``, the text id that
    each half of a code speaks, ``(batch, frames / 2)``; -1 where it is not known.
    """
    mel = np.full((len(indices), DVAE_CROP_FRAMES, XTTS_DVAE.n_mels), LOG_MEL_FLOOR, "float32")
    mask = np.zeros(mel.shape[:2], bool)
    tokens = []
    for row, index in enumerate(indices):
        whole = corpus.feature(index, "dvae_mel")
        spare = max(1, len(whole) - DVAE_CROP_FRAMES + 1)
        start = int(options.rng(epoch, index).integers(0, spare))
        piece = whole[start : start + DVAE_CROP_FRAMES]
        mel[row, : len(piece)] = piece
        mask[row, : len(piece)] = True
        if options.tokens:
            tokens.append(_crop_tokens(corpus, index, start, len(piece), options.data.duration_lag))
    batch = {"mel": mel, "mel_mask": mask}
    if options.tokens:
        batch["tokens"] = np.stack(tokens)
    if options.speaker:
        embedding = np.stack([corpus.feature(index, "embedding") for index in indices])
        known = [options.rng(epoch, index, 2).random() >= UNKNOWN_SPEAKERS for index in indices]
        batch["embedding"] = embedding * np.array(known, "float32")[:, None]
    return batch


def _crop_tokens(corpus: Corpus, index: int, start: int, frames: int, lag: float) -> np.ndarray:
    """Text ids of the parts of a crop's codes, int32 ``(parts,)``."""
    each = FRAMES_PER_CODE // TOKENS_PER_CODE
    tokens = np.full(DVAE_CROP_FRAMES // each, UNKNOWN_TOKEN, "int32")
    ids, ends = corpus.readings[index].spoken()
    if ends is not None:
        before = float(corpus.feature(index, "trim")[0]) + lag + start * FRAME_SECONDS
        places = code_tokens(ends, frames // each, before, each)
        tokens[: len(places)] = ids[places]
    return tokens


def gpt_batch(
    corpus: Corpus,
    indices: np.ndarray,
    epoch: int,
    options: BatchOptions,
    buckets: Buckets | None = None,
) -> dict:
    """Text, speech and the voice's reference.

    Args:
        corpus, indices, epoch, options: what is wanted.
        buckets: to whose sizes text and speech are padded, if given.

    Returns:
        ``text_ids`` ``(batch, text)``, ``text_lengths``, ``audio_codes`` ``(batch, codes)`` when
        they are a feature of the corpus, else ``mel`` ``(batch, frames, 80)``
        un-normalised, ``mel_lengths``, ``speaker_ids``, ``code_tokens`` ``(batch, codes)``, the
        place in ``text_ids`` of what is spoken during each audio code (-1: not known), and of
        another clip of the same
        speaker (or of the clip itself) ``reference_mel`` ``(batch, frames, 80)`` and
        ``reference_mask``; ``embedding`` ``(batch, dim)`` when it is a feature of the
        corpus, ``reference_16k`` ``(batch, samples)`` and ``reference_16k_lengths``
        when the options ask for it, ``prompt_frames`` ``(batch, 2)``, first and end of the
        frames of ``mel`` that the reference is, for masked prompts.
    """
    drawn = [corpus.readings[index].draw(options.text_rng(epoch, index)) for index in indices]
    texts = [ids for ids, _ in drawn]
    frames = corpus.lengths[indices].astype("int32")
    sizes = buckets.fit(codes_of(frames), lengths_of(texts)) if buckets else (0, 0)
    batch = {
        "text_ids": pad(texts, TEXT_MULTIPLE, 0, "int32", sizes[1]),
        "text_lengths": lengths_of(texts),
        "mel_lengths": frames,
        "speaker_ids": corpus.speakers[indices],
        "code_tokens": _code_tokens(
            corpus, indices, [ends for _, ends in drawn], options.data.duration_lag, sizes[0]
        ),
    }
    batch |= _speech(corpus, indices, sizes[0])
    return batch | _references(corpus, indices, epoch, options)


def length_buckets(corpus: Corpus, batch_codes: int) -> Buckets:
    """Sizes for batches of a corpus of about ``batch_codes`` audio codes each."""
    texts = [reading.longest for reading in corpus.readings]
    return Buckets(codes_of(corpus.lengths), texts, batch_codes)


def _speech(corpus: Corpus, indices: np.ndarray, size: int) -> dict:
    if "audio_codes" in corpus.store.features:
        codes = [corpus.feature(index, "audio_codes") for index in indices]
        return {"audio_codes": pad(codes, CODE_MULTIPLE, 0, "int32", size)}
    mels = [corpus.feature(index, "dvae_mel") for index in indices]
    return {"mel": pad(mels, FRAME_MULTIPLE, LOG_MEL_FLOOR, size=size * FRAMES_PER_CODE)}


def decoder_batch(corpus: Corpus, indices: np.ndarray, epoch: int, options: BatchOptions) -> dict:
    """A GPT batch with ``wave`` ``(batch, samples)`` at 24 kHz and ``wave_lengths``.

    And with ``pitch`` ``(batch, frames)`` in Hz when it is a feature of the corpus.
    """
    waves = [to_float(corpus.feature(index, "wave")) for index in indices]
    batch = gpt_batch(corpus, indices, epoch, options) | {
        "wave": pad(waves, OUTPUT_RATE // 2, 0.0),
        "wave_lengths": lengths_of(waves),
    }
    if "pitch" in corpus.store.features:
        pitches = [corpus.feature(index, "pitch") for index in indices]
        batch["pitch"] = pad(pitches, FRAME_MULTIPLE, 0.0)
    return batch


def _code_tokens(
    corpus: Corpus, indices: np.ndarray, ends: list[np.ndarray | None], lag: float, size: int
) -> np.ndarray:
    rows = []
    for index, times in zip(indices, ends, strict=True):
        before = 0.0 if times is None else float(corpus.feature(index, "trim")[0]) + lag
        rows.append(code_tokens(times, int(codes_of(corpus.lengths[index])), before))
    return pad(rows, CODE_MULTIPLE, UNKNOWN_TOKEN, "int32", size)


def _references(corpus: Corpus, indices: np.ndarray, epoch: int, options: BatchOptions) -> dict:
    chosen, draws = [], []
    for index in indices:
        rng = options.rng(epoch, index)
        if options.data.reference == "same_speaker":
            index = corpus.companion(index, rng)
        chosen.append(index)
        draws.append(_reference_span(int(corpus.lengths[index]), options, rng))
    spans = [span for span, _ in draws]
    batch = {}
    if "embedding" in corpus.store.features:
        batch["embedding"] = np.stack([corpus.feature(index, "embedding") for index in chosen])
    if "cond_mel" in corpus.store.features:
        batch |= _reference_mels(corpus, chosen, spans)
    if options.reference_audio:
        waves = [
            _reference_wave(corpus, index, *draw) for index, draw in zip(chosen, draws, strict=True)
        ]
        batch["reference_16k"] = pad(waves, SPEAKER_RATE, 0.0)
        batch["reference_16k_lengths"] = lengths_of(waves)
    if options.data.reference == "masked_prompt":
        batch["prompt_frames"] = np.array(spans, "int32")
    return batch


def _reference_mels(corpus: Corpus, chosen: list[int], spans: list[tuple[int, int]]) -> dict:
    mels = [
        corpus.feature(index, "cond_mel")[slice(*span)]
        for index, span in zip(chosen, spans, strict=True)
    ]
    mel = pad(mels, FRAME_MULTIPLE, LOG_MEL_FLOOR)
    valid = np.arange(mel.shape[1])[None] < lengths_of(mels)[:, None]
    return {"reference_mel": mel, "reference_mask": valid}


def _reference_wave(
    corpus: Corpus, index: int, span: tuple[int, int], seconds: float
) -> np.ndarray:
    """A stretch at 16 kHz that begins where the span of frames does."""
    first = int(span[0] * FRAME_SECONDS * SPEAKER_RATE)
    samples = slice(first, first + int(seconds * SPEAKER_RATE))
    return to_float(corpus.feature(index, "audio_16k")[samples])


def _reference_span(
    frames: int, options: BatchOptions, rng: np.random.Generator
) -> tuple[tuple[int, int], float]:
    """First and end of a random stretch of a clip of so many frames, and the seconds wanted."""
    seconds = _reference_seconds(frames, options.data, rng)
    size = min(max(1, int(seconds / FRAME_SECONDS)), frames)
    start = int(rng.integers(0, frames - size + 1))
    return (start, start + size), seconds


def _reference_seconds(frames: int, data: DataConfig, rng: np.random.Generator) -> float:
    """How long the reference of a clip of so many frames is to be."""
    seconds = data.reference_seconds
    if data.reference_min_seconds:
        seconds = rng.uniform(data.reference_min_seconds, seconds)
    if data.reference == "masked_prompt" and seconds > frames * FRAME_SECONDS:
        # As Coqui's: something has to be left to learn.
        return (frames // 2 + 0.5) * FRAME_SECONDS
    return seconds
