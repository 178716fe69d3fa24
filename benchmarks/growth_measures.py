"""What grows with clips, speakers, text and streams: one measurement of each size.

Every function is called in a process of its own and returns its costs by name: names end with
their unit, ``_s`` or ``_ms`` of the processor, ``_mb`` of resident memory.
"""

from __future__ import annotations

import gc
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import resident_mb
from myxtts.config import XTTSConfig
from myxtts.data.formats import Utterance

WORDS = (
    *("the", "tide", "comes", "in", "at", "four", "and", "nobody", "on", "pier", "has", "seen"),
    *("a", "boat", "since", "Monday", "morning", "snow", "fell", "over", "seven", "quiet", "hills"),
)
# Of the axis of clips: few speakers, so that each has many.
SPEAKERS = 10
# Clips of each on the axis of speakers.
CLIPS = 10
# Frames of the synthetic mels, one kind of file for each.
FRAMES = range(40, 72, 2)
# Batches that are drawn of a corpus, and utterances of one.
DRAWN, ROWS = 100, 16
# Balanced batches: speakers of each.
OF_SPEAKERS = 4
# Of the first size, which loads and traces what all share.
WARM_CLIPS = 64
# Audio codes of a text, and of each stream.
SPOKEN, STREAMED = 60, 120


def cost(call: Callable, *arguments: Any) -> tuple[float, Any]:
    """Seconds of the processor in all threads, which other work does not change; the result."""
    gc.collect()
    start = time.process_time()
    result = call(*arguments)
    return time.process_time() - start, result


def sentence(rng: np.random.Generator, words: int) -> str:
    """So many words with a capital and a full stop."""
    return " ".join(rng.choice(WORDS, words)).capitalize() + "."


def clips(count: int) -> dict[str, float]:
    """Open a corpus whose features are cached, plan epochs of it, draw batches."""
    from myxtts.data.plan import BatchPlan
    from myxtts.data.xtts import BatchOptions, gpt_batch, length_buckets

    with tempfile.TemporaryDirectory() as temporary:
        _open(write_clips(Path(temporary) / "warm", WARM_CLIPS))
        folder = write_clips(Path(temporary) / "clips", count)
        before = resident_mb()
        opening, corpus = cost(_open, folder)
        mels = sum(array.nbytes for array in corpus._memory.values()) / 2**20
        memory = resident_mb() - before
        lengths, speakers = corpus.lengths, corpus.speakers
        plan = BatchPlan(lengths, speakers, ROWS, 0)
        balanced = BatchPlan(lengths, speakers, ROWS, 0, OF_SPEAKERS)
        buckets = BatchPlan(lengths, speakers, ROWS, 0, buckets=length_buckets(corpus, 400))
        planned, batches = cost(plan.epoch, 0)
        options = BatchOptions(0)
        drawn = [cost(gpt_batch, corpus, batch, 0, options)[0] for batch in batches[:DRAWN]]
        return {
            "open_s": opening,
            "memory_mb": memory,
            "memory_without_mels_mb": max(memory - mels, 0.1),
            "epoch_s": planned,
            "epoch_balanced_s": cost(balanced.epoch, 0)[0],
            "epoch_buckets_s": cost(buckets.epoch, 0)[0],
            "batch_ms": 1000 * float(np.median(drawn)),
        }


def speakers(count: int) -> dict[str, float]:
    """Corpora of ever more speakers with a few clips each, planned by speakers."""
    from myxtts.data.corpus import Corpus
    from myxtts.data.plan import BatchPlan
    from myxtts.data.speakers import Recording, SpeakerCorpus, SpeakerPlan

    names = [f"speaker_{number % count:06d}" for number in range(CLIPS * count)]
    heard = [Utterance(Path(f"{i}.wav"), "", name, "en") for i, name in enumerate(names)]
    own = [Recording(item.path, item.speaker, 2.0) for item in heard]
    before = resident_mb()
    opening, corpus = cost(Corpus, heard, _Drawn(), "dvae_mel")
    planning, plan = cost(BatchPlan, corpus.lengths, corpus.speakers, ROWS, 0, OF_SPEAKERS)
    each = SpeakerCorpus(own)
    making, ge2e = cost(SpeakerPlan, each.speakers, OF_SPEAKERS, ROWS // OF_SPEAKERS, 0)
    return {
        "open_s": opening,
        "memory_mb": max(resident_mb() - before, 0.1),
        "epoch_balanced_s": planning + cost(plan.epoch, 0)[0],
        "epoch_encoder_s": making + cost(ge2e.epoch, 0)[0],
        "references_s": cost(_references, corpus)[0],
    }


def text(characters: int) -> dict[str, float]:
    """Cut a text into pieces and make ids of them."""
    from myxtts.text.split import split_text

    tokenizer, limit = _tokenizer(), XTTSConfig().model.gpt.max_text_tokens
    rng, written = np.random.default_rng(0), ""
    sentences: list[str] = []
    while len(written) < characters:
        sentences += [sentence(rng, int(rng.integers(4, 24))) for _ in range(characters // 70 + 1)]
        written = " ".join(sentences)
    written = written[:characters]
    split_text(written[:500], tokenizer, "en", limit)
    splitting, pieces = cost(split_text, written, tokenizer, "en", limit, 250)
    encoding, _ = cost(lambda: [tokenizer.encode(piece, "en") for piece in pieces])
    return {"split_s": splitting, "tokenise_s": encoding}


def speech(sentences: int) -> dict[str, float]:
    """Speak so many sentences by a tiny GPT of random weights and the full decoder."""
    from benchmarks.xtts_sides import TEXT

    with _tiny() as side:
        synthesizer = side._synthesizer(SPOKEN)
        synthesizer.speak(TEXT, side.voice)
        before = resident_mb()
        taken, _ = cost(synthesizer.speak, " ".join([TEXT] * sentences), side.voice)
        return {"speak_s": taken, "memory_mb": max(resident_mb() - before, 0.1)}


def streams(count: int) -> dict[str, float]:
    """So many streams of one model at once, each in a thread, as the gateway has them."""
    with _tiny() as side:
        list(islice(side.stream(STREAMED), 3))
        before = resident_mb()

        def all_streams() -> None:
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(lambda _: list(side.stream(STREAMED)), range(count)))

        taken, _ = cost(all_streams)
        return {"streams_s": taken, "memory_mb": max(resident_mb() - before, 0.1)}


def write_clips(folder: Path, count: int) -> tuple[Path, Path]:
    """A corpus of synthetic clips and a cache that holds all of their features.

    The recordings are empty: whoever looks for a feature finds it.
    """
    corpus, cache = folder / "corpus", folder / "cache"
    (corpus / "wavs").mkdir(parents=True)
    rng, lines = np.random.default_rng(0), []
    for number in range(count):
        (corpus / "wavs" / f"{number}.wav").touch()
        words = sentence(rng, int(rng.integers(4, 16)))
        speaker = f"speaker_{number % SPEAKERS}"
        lines.append({"file_name": f"wavs/{number}.wav", "text": words, "speaker": speaker})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (corpus / "metadata.jsonl").write_text(text, encoding="utf-8")
    _fill(corpus, cache, count)
    return corpus, cache


def _fill(corpus: Path, cache: Path, count: int) -> None:
    """Features of one kind of clip for each of some lengths; every clip is linked to one."""
    from myxtts.data.store import Clip
    from myxtts.data.xtts import open_store

    store = open_store(XTTSConfig().data, cache)
    kinds = [_kind(cache / "kinds", frames) for frames in FRAMES]
    for number in range(count):
        key = Clip(corpus / "wavs" / f"{number}.wav", store).key
        for name, source in kinds[number % len(kinds)].items():
            os.link(source, store.folders[name] / f"{key}.npz")


def _kind(folder: Path, frames: int) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "dvae_mel": np.zeros((frames, 80), "float16"),
        "cond_mel": np.zeros((frames, 80), "float16"),
        "wave": np.zeros(frames * 256, "int16"),
        "audio_16k": np.zeros(frames * 170, "int16"),
        "trim": np.array([0.0, frames * 256 / 24_000]),
    }
    for name, array in arrays.items():
        np.savez(folder / f"{name}_{frames}.npz", array)
    return {name: folder / f"{name}_{frames}.npz" for name in arrays}


def _open(folders: tuple[Path, Path]):
    from myxtts.data.xtts import open_corpus, open_store

    config = XTTSConfig()
    store = open_store(config.data, folders[1])
    return open_corpus(folders[0], config, store, lambda found: _tokenizer())[0]


def _tokenizer():
    """One of the same words, whatever corpus is opened."""
    from myxtts.text.tokenizer import train_tokenizer

    return train_tokenizer([(" ".join(WORDS), "en")], 320)


def _references(corpus) -> None:
    """Another clip of the same speaker for every clip, as an epoch draws them."""
    for index in range(len(corpus)):
        corpus.companion(index, np.random.default_rng(index))


class _Drawn:
    """A store that has a mel of every utterance at once."""

    features: dict = {}

    def load(self, utterance: Utterance, *names: str) -> dict[str, np.ndarray]:
        return {name: np.zeros((FRAMES[0], 1), "float16") for name in names}


class _tiny:
    """A tiny model of random weights that never stops, while the body lasts."""

    def __enter__(self):
        from benchmarks import xtts_sides

        self.folder = tempfile.TemporaryDirectory()
        reference = Path(self.folder.name) / "reference.wav"
        xtts_sides.write_reference(reference)
        return xtts_sides.MyXTTS(xtts_sides.random_model("tiny"), reference)

    def __exit__(self, *_: Any) -> None:
        self.folder.cleanup()


MEASURES: dict[str, Callable[[int], dict[str, float]]] = {
    "clips": clips,
    "speakers": speakers,
    "text": text,
    "speech": speech,
    "streams": streams,
}
