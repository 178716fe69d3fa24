"""What a synthesizer makes of recordings' own mels: the data that its vocoder learns from."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from myxtts.data.rtvc_folders import is_of_machine
from myxtts.data.synthesizer import TABLE, Line, SynthesizerCorpus, batches, example, read_table
from myxtts.data.vocoder import SYNTHESIZED, SYNTHESIZED_MELS
from myxtts.errors import DataError
from myxtts.files import locked, replacing, writable_folder, write_whole
from myxtts.models.tacotron import Masks, Tacotron
from myxtts.synthesizer_config import SynthesizerConfig
from myxtts.text.symbols import SymbolTokenizer

logger = logging.getLogger(__name__)

# Beside the mels: of which synthesizer they are, so that a killed run can be gone on with.
MADE_BY = "synthesizer.sha256"


def synthesize_mels(
    model: Tacotron,
    folder: str | Path,
    out: str | Path,
    batch_size: int = 16,
    tokenizer: SymbolTokenizer | None = None,
) -> int:
    """Write ``mels_gta`` and ``synthesized.txt`` for a vocoder; return how many utterances.

    The synthesizer is teacher-forced, without dropout and in the batches of
    Real-Time-Voice-Cloning, which its post-net hears; each mel is cut to its frames. Utterances
    without frames, and damaged ones, which are told, are left out. What a killed run of the same
    synthesizer has written stays.

    Args:
        model: of the synthesizer.
        folder: of its data: ``train.txt``, ``mels`` and ``embeds``.
        out: folder of the vocoder's data.
        batch_size: utterances at a time.
        tokenizer: of the texts; by default that of the model's symbols.

    Raises:
        DataError: the folder is none of a synthesizer's, none of its files fits the model, or
            another process writes to ``out``.
        TextError: nothing of a text is a symbol.
    """
    folder, out = Path(folder), Path(out)
    tokenizer = tokenizer or SymbolTokenizer(model.config.symbols)
    lines, mels = read_table(folder / TABLE), out / SYNTHESIZED_MELS
    if not lines:
        raise DataError(f"{folder / TABLE} names no utterance that has frames.")
    writable_folder(mels, DataError)
    with locked(out, DataError):
        return _synthesize(model, folder, out, lines, batch_size, tokenizer)


def _synthesize(
    model: Tacotron,
    folder: Path,
    out: Path,
    lines: list[Line],
    batch_size: int,
    tokenizer: SymbolTokenizer,
) -> int:
    mels = out / SYNTHESIZED_MELS
    _begin(out, model)
    corpus = SynthesizerCorpus(folder, [(line, tokenizer.encode(line.text)) for line in lines])
    build = batches(corpus, SynthesizerConfig(model=model.config))
    forward, bad = _forward(model), set()
    for whole in tqdm(_cuts(lines, batch_size, mels), "mels", delay=2, disable=None):
        rows = np.array([row for row in whole if _is_sound(corpus, model, row)], "int64")
        bad |= {lines[row].mel for row in set(whole.tolist()) - set(rows.tolist())}
        if not len(rows):
            continue
        made = build(rows, model.r)
        spoken = forward(made["ids"], made["embedding"], made["mels"]).numpy()
        for row, mel in zip(rows.tolist(), spoken, strict=True):
            _save(mels / lines[row].mel, mel[: lines[row].frames].astype("float32"))
    if len(bad) == len(lines):
        raise DataError(f"{folder / TABLE}: no utterance can be read; the log names each.")
    write_whole(out / SYNTHESIZED, "".join(f"{line}\n" for line in _kept(folder / TABLE, bad)))
    return len(lines) - len(bad)


def _is_sound(corpus: SynthesizerCorpus, model: Tacotron, row: int) -> bool:
    """Whether an utterance can be read; one that is damaged is told."""
    try:
        example(corpus, model.config, model.r, int(row))
    except DataError as error:
        if is_of_machine(error):
            raise
        logger.warning("left out: %s", error)
        return False
    return True


def _save(path: Path, mel: np.ndarray) -> None:
    with replacing(path, DataError, durable=False) as fresh, fresh.open("wb") as file:
        np.save(file, mel)


def _forward(model: Tacotron):
    @tf.function(reduce_retracing=True, autograph=False)
    def forward(ids, embeddings, mels):
        return model(ids, embeddings, mels, masks=Masks(), training=False).linear

    return forward


def _begin(out: Path, model: Tacotron) -> None:
    """Say of which synthesizer the mels in ``out`` are; those of another go."""
    digest, mark, mels = hashlib.sha256(), out / MADE_BY, out / SYNTHESIZED_MELS
    for name, variable in sorted(model.variables_by_name().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(np.asarray(variable)).tobytes())
    said = mark.read_text("utf-8", "replace").strip() if mark.is_file() else None
    # A finished run is made anew: its recordings may be others.
    if said != digest.hexdigest() or (out / SYNTHESIZED).is_file():
        (out / SYNTHESIZED).unlink(missing_ok=True)
        for path in mels.glob("mel-*.npy"):
            path.unlink()
    write_whole(mark, digest.hexdigest() + "\n", DataError)


def _cuts(lines: list[Line], size: int, mels: Path) -> Iterator[np.ndarray]:
    """Places of the utterances of each batch that is not there as a whole."""
    for start in range(0, len(lines), size):
        rows = np.arange(start, min(start + size, len(lines)))
        if not all((mels / lines[row].mel).is_file() for row in rows):
            yield rows


def _kept(table: Path, bad: set[str]) -> list[str]:
    """Lines of a table as they are, without those that have no frames or are ``bad`` mels."""
    lines = table.read_text(encoding="utf-8").split("\n")
    lines = [line.rstrip("\r") for line in lines if line.strip() and int(line.split("|")[4])]
    return [line for line in lines if line.split("|")[1] not in bad]
