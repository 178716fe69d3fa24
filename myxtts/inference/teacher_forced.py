"""What a synthesizer makes of recordings' own mels: the data that its vocoder learns from."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from myxtts.data.rtvc_folders import is_of_machine, preparing
from myxtts.data.synthesizer import TABLE, Line, SynthesizerCorpus, batches, example, read_table
from myxtts.data.vocoder import SYNTHESIZED, SYNTHESIZED_MELS
from myxtts.errors import DataError, TextError
from myxtts.files import replacing, writable_folder, write_whole
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
    without frames are left out, and damaged ones and texts that cannot be spoken, which are told.
    What a killed run of the same synthesizer has written stays; that of another one goes when the
    first new mels are there.

    Args:
        model: of the synthesizer.
        folder: of its data: ``train.txt``, ``mels`` and ``embeds``.
        out: folder of the vocoder's data.
        batch_size: utterances at a time.
        tokenizer: of the texts; by default that of the model's symbols.

    Raises:
        DataError: the folder is none of a synthesizer's, none of its files fits the model, or
            another process writes to ``out``.
    """
    folder, out = Path(folder), Path(out)
    tokenizer = tokenizer or SymbolTokenizer(model.config.symbols)
    lines, mels = read_table(folder / TABLE), out / SYNTHESIZED_MELS
    if not lines:
        raise DataError(f"{folder / TABLE} names no utterance that has frames.")
    writable_folder(mels, DataError)
    with preparing(out, SYNTHESIZED_MELS):
        return _synthesize(model, folder, out, lines, batch_size, tokenizer)


def _synthesize(
    model: Tacotron,
    folder: Path,
    out: Path,
    lines: list[Line],
    batch_size: int,
    tokenizer: SymbolTokenizer,
) -> int:
    mels, digest = out / SYNTHESIZED_MELS, _digest(model)
    readable = [(line, ids) for line in lines if (ids := _ids(tokenizer, line))]
    bad = {line.mel for line in lines} - {line.mel for line, _ in readable}
    corpus = SynthesizerCorpus(folder, readable)
    own = [line for line, _ in readable]
    build = batches(corpus, SynthesizerConfig(model=model.config))
    forward, begun = _forward(model), _goes_on(out, digest)
    cuts = _cuts(own, batch_size, mels if begun else None)
    for whole in tqdm(cuts, "mels", delay=2, disable=None):
        rows = np.array([row for row in whole if _is_sound(corpus, model, row)], "int64")
        bad |= {own[row].mel for row in set(whole.tolist()) - set(rows.tolist())}
        if not len(rows):
            continue
        made = build(rows, model.r)
        spoken = forward(made["ids"], made["embedding"], made["mels"]).numpy()
        # What was there goes when there is something to put in its place.
        if not begun:
            _begin(out, digest)
            begun = True
        for row, mel in zip(rows.tolist(), spoken, strict=True):
            _save(mels / own[row].mel, mel[: own[row].frames].astype("float32"))
    if len(bad) == len(lines):
        raise DataError(f"{folder / TABLE}: no utterance can be read; the log names each.")
    write_whole(out / SYNTHESIZED, "".join(f"{line}\n" for line in _kept(folder / TABLE, bad)))
    return len(lines) - len(bad)


def _ids(tokenizer: SymbolTokenizer, line: Line) -> list[int]:
    """Text ids; none, which is told, where nothing of the text can be spoken."""
    try:
        return tokenizer.encode(line.text)
    except TextError as error:
        logger.warning("left out: %s: %s", line.mel, error)
        return []


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


def _digest(model: Tacotron) -> str:
    digest = hashlib.sha256()
    for name, variable in sorted(model.variables_by_name().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(np.asarray(variable)).tobytes())
    return digest.hexdigest()


def _goes_on(out: Path, digest: str) -> bool:
    """Whether the mels in ``out`` are of this synthesizer, and of a run that was broken off.

    A finished run is made anew: its recordings may be others.
    """
    mark = out / MADE_BY
    said = mark.read_text("utf-8", "replace").strip() if mark.is_file() else None
    return said == digest and not (out / SYNTHESIZED).is_file()


def _begin(out: Path, digest: str) -> None:
    """Remove the mels in ``out``, and say of which synthesizer the next ones are."""
    (out / SYNTHESIZED).unlink(missing_ok=True)
    for path in (out / SYNTHESIZED_MELS).glob("mel-*.npy"):
        path.unlink()
    write_whole(out / MADE_BY, digest + "\n", DataError)


def _cuts(lines: list[Line], size: int, mels: Path | None) -> Iterator[np.ndarray]:
    """Places of the utterances of each batch that is not in ``mels`` as a whole."""
    for start in range(0, len(lines), size):
        rows = np.arange(start, min(start + size, len(lines)))
        if mels is None or not all((mels / lines[row].mel).is_file() for row in rows):
            yield rows


def _kept(table: Path, bad: set[str]) -> list[str]:
    """Lines of a table as they are, without those that have no frames or are ``bad`` mels."""
    lines = table.read_text(encoding="utf-8").split("\n")
    lines = [line.rstrip("\r") for line in lines if line.strip() and int(line.split("|")[4])]
    return [line for line in lines if line.split("|")[1] not in bad]
