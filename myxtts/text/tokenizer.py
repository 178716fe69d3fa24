"""The byte-pair tokenizer of XTTS, over Hugging Face ``tokenizers``.

A text becomes ``[en]cleaned[SPACE]text`` and then ids; ``[START]`` and ``[STOP]``
are the GPT's and never part of the ids.
"""

from __future__ import annotations

import functools
import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from myxtts.errors import ConfigError, TextError
from myxtts.files import write_whole
from myxtts.text.cleaners import ROMANIZED, clean_text
from myxtts.text.languages import (
    base_language,
    is_language,
    language_names,
    vocabulary_language,
)
from myxtts.text.mending import Mender, composed
from myxtts.text.phonemes import TOKENS, with_brackets, without_brackets

logger = logging.getLogger(__name__)

STOP, UNKNOWN, SPACE, START = "[STOP]", "[UNK]", "[SPACE]", "[START]"
# Ids of Coqui's vocabulary, kept by vocabularies trained here.
STOP_ID, UNKNOWN_ID, SPACE_ID, START_ID = 0, 1, 2, 261
_BASE_CHARACTERS = "abcdefghijklmnopqrstuvwxyz'.,!?-;:"
# In so many texts an unknown character is told of, and so much of a text is shown.
_TOLD, _SHOWN = 3, 60
_SPECIAL_NAMES = (STOP, UNKNOWN, SPACE, START)


class VoiceBpeTokenizer:
    """Text to ids and back.

    Args:
        source: path of a ``tokenizer.json`` (or XTTS ``vocab.json``), or a ``Tokenizer``.

    Raises:
        TextError: the file is missing, is no tokenizer, or lacks a special token.
    """

    def __init__(self, source: str | Path | Tokenizer):
        self._tokenizer = source if isinstance(source, Tokenizer) else _load(source)
        vocabulary = self._tokenizer.get_vocab()
        missing = [name for name in _SPECIAL_NAMES if name not in vocabulary]
        if missing:
            raise TextError(f"the tokenizer {source} lacks the token {missing[0]}.")
        self.start_id = vocabulary[START]
        self.stop_id = vocabulary[STOP]
        self.space_id = vocabulary[SPACE]
        self.vocab_size = max(vocabulary.values()) + 1
        self.languages = sorted(
            token[1:-1]
            for token in vocabulary
            if token.startswith("[") and token.endswith("]") and is_language(token[1:-1])
        )
        self._menders: dict[str, Mender] = {}
        self._told: Counter = Counter()
        self._last_told: str | None = None

    def clean(self, text: str, language: str) -> str:
        """``text`` as it is read aloud, see :func:`myxtts.text.cleaners.clean_text`.

        Where the vocabulary has phonemes, stretches in brackets become their characters.
        Characters that it lacks are mended where they can be (:mod:`myxtts.text.mending`).

        Raises:
            TextError: a symbol in brackets is no phoneme, or the package that reads the
                language is missing.
        """
        if self.has_phonemes:
            text = without_brackets(text, self.phonemes)
        if base_language(language) not in ROMANIZED:
            return clean_text(self.mender(language)(text), language)
        # Characters of these scripts are in no vocabulary; what is read of them is.
        plain = clean_text(text, language)
        if not self._lacking(plain):
            return plain
        mended = self.mender(language)(composed(text))
        mended = clean_text(mended, language)
        return mended if self._lacking(mended) < self._lacking(plain) else plain

    def mender(self, language: str) -> Mender:
        """What mends texts of a language for this vocabulary."""
        base = base_language(language)
        if base not in self._menders:
            self._menders[base] = Mender(self.characters, base)
        return self._menders[base]

    @functools.cached_property
    def characters(self) -> frozenset[str]:
        """Characters of the vocabulary."""
        return frozenset(token for token in self.vocabulary if len(token) == 1)

    def _lacking(self, cleaned: str) -> int:
        """How many characters the vocabulary lacks."""
        return sum(sign not in self.characters and not sign.isspace() for sign in cleaned)

    @functools.cached_property
    def phonemes(self) -> dict[str, str]:
        """Symbols in brackets that the vocabulary knows, and the characters they are there."""
        known = self.vocabulary
        return {symbol: sign for symbol, sign in TOKENS.items() if sign in known}

    @property
    def has_phonemes(self) -> bool:
        """Whether the vocabulary has phonemes beside the letters."""
        return bool(self.phonemes)

    def pieces(self, cleaned: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of a piece of cleaned text, and first and end of the letters that each is."""
        found = self._read(cleaned.replace(" ", SPACE))
        before = []
        for place, letter in enumerate(cleaned):
            before += [place] * (len(SPACE) if letter == " " else 1)
        before.append(len(cleaned))
        return found.ids, [(before[first], before[end]) for first, end in found.offsets]

    def encode(self, text: str, language: str) -> list[int]:
        """Ids of ``text``, its language token first, without start and stop.

        Characters that the vocabulary lacks, which are ``[UNK]``, are told in a warning.

        Raises:
            TextError: the vocabulary does not know ``language``, or the package that
                reads it is missing.
        """
        name, cleaned = self.language_token(language), self.clean(text, language)
        found = self._encode(name, cleaned)
        if self._tokenizer.token_to_id(UNKNOWN) in found.ids:
            self._tell(text, self._unknown(name, cleaned, found))
        return found.ids

    def count(self, text: str, language: str) -> int:
        """How many ids :meth:`encode` gives; nothing is told."""
        return len(self._encode(self.language_token(language), self.clean(text, language)).ids)

    def unknown(self, text: str, language: str) -> list[str]:
        """Characters of the cleaned text that the vocabulary lacks, in order.

        Raises:
            TextError: as :meth:`encode`.
        """
        name, cleaned = self.language_token(language), self.clean(text, language)
        return self._unknown(name, cleaned, self._encode(name, cleaned))

    def _unknown(self, name: str, cleaned: str, found) -> list[str]:
        encoded, lacking = f"[{name}]{cleaned}".replace(" ", SPACE), []
        for number, (first, end) in zip(found.ids, found.offsets, strict=True):
            if number == self._tokenizer.token_to_id(UNKNOWN):
                lacking += encoded[first:end]
        return lacking

    def _tell(self, text: str, lacking: list[str]) -> None:
        """Warn of characters, of each in a few texts."""
        new = [sign for sign in dict.fromkeys(lacking) if self._told[sign] < _TOLD]
        if not new or text == self._last_told:
            return
        self._last_told = text
        self._told.update(new)
        small = text.lower()
        places = ", ".join(
            f"{sign!r} (U+{ord(sign):04X})"
            + (f" at {small.index(sign) + 1}" if sign in small else "")
            for sign in new
        )
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        logger.warning(
            "the vocabulary lacks %d of the characters of %r, which will not be spoken: %s",
            *(len(lacking), shown, places),
        )

    def spans(self, text: str, language: str) -> list[tuple[int, int]]:
        """First and end of the letters of the cleaned text that each id of :meth:`encode` is.

        The language token has none, ``(0, 0)``.

        Raises:
            TextError: as :meth:`encode`.
        """
        name, cleaned = self.language_token(language), self.clean(text, language)
        # How many letters lie before each place of what is encoded.
        before = [0] * (len(f"[{name}]") + 1)
        for place, letter in enumerate(cleaned):
            before += [place] * (len(SPACE) - 1 if letter == " " else 0) + [place + 1]
        offsets = self._encode(name, cleaned).offsets
        return [(before[first], before[end]) for first, end in offsets]

    def _encode(self, name: str, cleaned: str):
        return self._read(f"[{name}]{cleaned}".replace(" ", SPACE))

    def _read(self, prepared: str):
        """Ids and offsets of a text as the vocabulary has it, by the rules of its file.

        Raises:
            TextError: those do not end, or have a fault.
        """
        try:
            return self._tokenizer.encode(prepared)
        except (KeyboardInterrupt, SystemExit):
            raise
        # A panic of the library, which is written in Rust, is no Exception.
        except BaseException as error:
            shown = prepared if len(prepared) <= _SHOWN else f"{prepared[:_SHOWN]}..."
            raise TextError(f"the tokenizer cannot take {shown!r} apart: {error}.") from error

    def decode(self, ids: Sequence[int]) -> str:
        """Cleaned text of ``ids``, its language token included."""
        joined = self._tokenizer.decode(list(ids), skip_special_tokens=False).replace(" ", "")
        joined = with_brackets(joined) if self.has_phonemes else joined
        return joined.replace(SPACE, " ").replace(STOP, "").replace(UNKNOWN, "")

    @property
    def vocabulary(self) -> dict[str, int]:
        """Ids of all tokens."""
        return self._tokenizer.get_vocab()

    def spell(self, token: str) -> list[int]:
        """Ids that write ``token``, cleaned text without spaces; unknown ones are left out."""
        ids = self._read(token).ids
        return [number for number in ids if number != self._tokenizer.token_to_id(UNKNOWN)]

    def language_token(self, language: str) -> str:
        """Name of the vocabulary's language token for a code such as ``en`` or ``pt-BR``.

        It is the code's own token where there is one, else that of the language.

        Raises:
            TextError: there is none.
        """
        name = next((name for name in language_names(language) if name in self.languages), None)
        if name is None:
            known = ", ".join(self.languages)
            raise TextError(f"unknown language {language!r}; this model speaks {known}.")
        return name

    def language_id(self, language: str) -> int:
        """Id of :meth:`language_token`.

        Raises:
            TextError: there is none.
        """
        return self._tokenizer.token_to_id(f"[{self.language_token(language)}]")

    def to_json(self) -> str:
        """The vocabulary as the JSON of :meth:`save`."""
        return self._tokenizer.to_str(pretty=True)

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as JSON, whole or not at all.

        Raises:
            CheckpointError: it cannot be written.
        """
        write_whole(path, self.to_json())


def character_tokenizer(
    texts: Iterable[tuple[str, str]], vocab_size: int, phonemes: bool = True
) -> VoiceBpeTokenizer:
    """A vocabulary of single characters, those of a corpus, and all phonemes.

    Args:
        texts: pairs of a text and its language code; every language gets a token.
        vocab_size: bound of the ids.
        phonemes: False for letters alone.

    Raises:
        ConfigError: there are more characters than ``vocab_size`` has room for.
        TextError: the package that reads a language is missing.
    """
    cleaned = [(clean_text(composed(pair[0]), pair[1]), base_language(pair[1])) for pair in texts]
    names = sorted({vocabulary_language(language) for _, language in cleaned})
    seen = sorted({sign for text, _ in cleaned for sign in text if not sign.isspace()})
    sounds = TOKENS.values() if phonemes else ()
    characters = dict.fromkeys([*_BASE_CHARACTERS, *seen, *sounds])
    wanted = max(START_ID + 1, len(_SPECIAL_NAMES) + len(characters)) + len(names)
    if wanted > vocab_size:
        raise ConfigError(f"a vocabulary of {vocab_size} is too small; it needs {wanted} entries.")
    learned = {"vocab": {sign: number for number, sign in enumerate(characters)}, "merges": []}
    return VoiceBpeTokenizer(_with_xtts_ids(learned, names))


def train_tokenizer(texts: Iterable[tuple[str, str]], vocab_size: int) -> VoiceBpeTokenizer:
    """Learn a byte-pair vocabulary (Sennrich et al. 2016) from a corpus.

    ``[STOP]``, ``[UNK]``, ``[SPACE]`` and ``[START]`` get the ids they have in Coqui's
    vocabulary. A small corpus may fill fewer ids than ``vocab_size``.

    Args:
        texts: pairs of a text and its language code; every language gets a token.
        vocab_size: bound of the ids.

    Raises:
        ConfigError: ``vocab_size`` leaves no room for the characters.
        TextError: the package that reads a language is missing.
    """
    texts = [(text, base_language(language)) for text, language in texts]
    languages = sorted({language for _, language in texts})
    names = [vocabulary_language(language) for language in languages]
    room = vocab_size - len(_SPECIAL_NAMES) - len(names)
    if vocab_size <= START_ID + len(names) or room < len(_BASE_CHARACTERS):
        raise ConfigError(
            f"a vocabulary of {vocab_size} is too small; it needs at least "
            f"{START_ID + len(names) + 1} entries."
        )
    learner = Tokenizer(models.BPE(unk_token=UNKNOWN))
    learner.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=room,
        initial_alphabet=list(_BASE_CHARACTERS),
        limit_alphabet=room,
        show_progress=False,
    )
    cleaned = (clean_text(composed(text), language) for text, language in texts)
    learner.train_from_iterator(cleaned, trainer)
    return VoiceBpeTokenizer(_with_xtts_ids(json.loads(learner.to_str())["model"], names))


def _with_xtts_ids(learned: dict, languages: list[str]) -> Tokenizer:
    """Learned ``vocab`` and ``merges`` renumbered around the fixed ids of the special tokens."""
    special = {STOP: STOP_ID, UNKNOWN: UNKNOWN_ID, SPACE: SPACE_ID, START: START_ID}
    special |= {f"[{name}]": START_ID + 1 + i for i, name in enumerate(languages)}
    taken = set(special.values())
    tokens = sorted(learned["vocab"], key=learned["vocab"].get)
    free = (number for number in range(len(tokens) + len(taken) + START_ID) if number not in taken)
    vocabulary = special | dict(zip(tokens, free, strict=False))
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge)
              for merge in learned["merges"]]  # fmt: skip
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def _load(path: str | Path) -> Tokenizer:
    path = Path(path)
    if not path.is_file():
        raise TextError(f"no tokenizer file {path}.")
    try:
        return Tokenizer.from_file(str(path))
    except (KeyboardInterrupt, SystemExit):
        raise
    # tokenizers raises bare Exception for malformed files, and may panic, which is none.
    except BaseException as error:
        raise TextError(f"{path} is not a tokenizer file: {error}.") from error
