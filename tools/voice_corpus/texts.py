"""What is said: Austen's sentences and the grammar's, but for those that are held out."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from myxtts.errors import DataError
from tools.voice_corpus import austen, grammar
from tools.voice_corpus.settings import VoiceCorpusConfig

HELD_OUT = Path(__file__).with_name("held_out.txt")
PARTS = ("train", "val")
_SPLIT = 10_000  # steps in which the share of validation is counted


@dataclass(frozen=True)
class Texts:
    """All texts of a corpus.

    Attributes:
        parts: distinct texts of ``train`` and ``val``; no text of one is in the other, not
            with another punctuation either.
        counts: how many came from where, and how many were held out.
        held_out: keys of the sentences that nothing may say.
    """

    parts: Mapping[str, list[str]]
    counts: Mapping[str, int]
    held_out: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """SHA-256 of all texts."""
        lines = [f"{part}\t{text}\n" for part in PARTS for text in self.parts[part]]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def corpus_texts(
    config: VoiceCorpusConfig, deb: Path | None = None, held_out_file: Path | None = None
) -> Texts:
    """Texts by these settings.

    Args:
        config: of the corpus.
        deb: Debian's package of Austen's novels; None fetches it.
        held_out_file: sentences that must not occur, besides :func:`held_out`.

    Raises:
        DataError: a source is missing, or a part would be without texts.
    """
    sources = {
        "austen": austen.sentences(austen.package(deb)) if config.austen else [],
        "grammar": grammar.sentences(config.grammar_sentences, config.seed),
    }
    forbidden = {key(text) for text in held_out()}
    forbidden |= {key(text) for text in read_lines(held_out_file)} if held_out_file else set()
    parts, counts = {part: {} for part in PARTS}, {}
    for source, found in sources.items():
        kept = [text for text in found if key(text) not in forbidden]
        counts |= {source: len(kept), f"{source}_held_out": len(found) - len(kept)}
        for text in kept:
            parts[_part(text, config.val_share)][text] = None
    if not all(parts.values()):
        raise DataError("there are too few texts for training and validation; allow more.")
    texts = {part: list(found) for part, found in parts.items()}
    return Texts(texts, counts, frozenset(forbidden))


def key(text: str) -> str:
    """What is the same in two writings of a sentence: its words, without case and punctuation."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def held_out() -> list[str]:
    """Sentences to test a voice on, in no corpus."""
    return read_lines(HELD_OUT)


def read_lines(path: Path) -> list[str]:
    """Lines of a file that are neither empty nor a comment.

    Raises:
        DataError: it cannot be read.
    """
    try:
        lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}.") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _part(text: str, val_share: float) -> str:
    """Whether a text is for training or validation, whatever else is in the corpus."""
    place = zlib.crc32(key(text).encode()) % _SPLIT
    return "val" if place < val_share * _SPLIT else "train"
