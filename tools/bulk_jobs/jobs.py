"""What is done in bulk: speech of texts, features of corpora, embeddings of recordings.

A function of the name of a job makes, in a worker, what is called with items. Whatever an item
leaves is written whole, so that to do it twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def synthesise(preset: str, language: str, engine: str, seed: int) -> Callable[[dict], None]:
    """Speech: an item has ``text``, ``voice`` (None: the model's first) and ``output``."""
    from dataclasses import replace

    from myxtts.audio.io import write_audio
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.models.xtts import XTTS

    model = XTTS.from_preset(preset)
    settings = replace(model.config.synthesis, engine=engine, seed=seed)
    synthesizer, voices = Synthesizer(model, settings), {}

    def do(item: dict) -> None:
        name = item["voice"]
        if name not in voices:
            voices[name] = _voice(synthesizer, name)
        spoken = synthesizer.speak(item["text"], voices[name], language)
        write_audio(item["output"], spoken.waveform, spoken.sample_rate)

    return do


def _voice(synthesizer, name: str | None):
    """A kept voice by its name or file, or one made of a recording."""
    from myxtts.audio.io import ALSO_READ, SUFFIXES

    if name and Path(name).suffix.lower() in (*SUFFIXES, *ALSO_READ):
        return synthesizer.condition([name])
    return synthesizer.voice(name)


def features(data: dict, cache_dir: str) -> Callable[[dict], None]:
    """Features of a training corpus in its cache: an item has a recording's ``path``.

    What a recording is refused for is kept in the cache, too.
    """
    from myxtts.config import XTTSConfig
    from myxtts.data.formats import Utterance
    from myxtts.data.xtts import open_store

    store = open_store(XTTSConfig().merged({"data": data}).data, cache_dir)

    def do(item: dict) -> None:
        # Features are of the recording alone.
        store.prepare(Utterance(Path(item["path"]), text="", speaker="", language=""))

    return do


def embed(encoder: str, weights: str | None) -> Callable[[dict], None]:
    """Embeddings float32 ``(dim,)`` of length one as NPY: an item has ``path`` and ``output``."""
    import numpy as np

    from myxtts.errors import DataError
    from myxtts.files import replacing
    from myxtts.verification.verifier import SpeakerVerifier

    if Path(encoder).is_dir():
        verifier = SpeakerVerifier.from_preset(encoder)
    else:
        verifier = SpeakerVerifier.from_pretrained(encoder, weights)

    def do(item: dict) -> None:
        made = verifier.embed(item["path"])[0]
        with replacing(Path(item["output"]), DataError) as fresh, fresh.open("wb") as file:
            np.save(file, made.astype("float32"))

    return do
