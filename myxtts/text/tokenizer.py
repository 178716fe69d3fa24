"""The byte-pair tokenizer of XTTS, over Hugging Face ``tokenizers``.

A text becomes ``[en]cleaned[SPACE]text`` and then ids; ``[START]`` and ``[STOP]``
are the GPT's and never part of the ids.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from myxtts.errors import ConfigError, TextError
from myxtts.files import write_whole
from myxtts.text.cleaners import clean_text
from myxtts.text.languages import base_language, vocabulary_language
from myxtts.text.phonemes import TOKENS, with_brackets, without_brackets

STOP, UNKNOWN, SPACE, START = "[STOP]", "[UNK]", "[SPACE]", "[START]"
# Ids of Coqui's vocabulary, kept by vocabularies trained here.
STOP_ID, UNKNOWN_ID, SPACE_ID, START_ID = 0, 1, 2, 261
_BASE_CHARACTERS = "abcdefghijklmnopqrstuvwxyz'.,!?-;:"
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
            if token.startswith("[") and token.endswith("]") and token[1:-1].islower()
        )

    def clean(self, text: str, language: str) -> str:
        """``text`` as it is read aloud, see :func:`myxtts.text.cleaners.clean_text`.

        Where the vocabulary has phonemes, stretches in brackets become their characters.

        Raises:
            TextError: a symbol in brackets is no phoneme, or the package that reads the
                language is missing.
        """
        if self.has_phonemes:
            text = without_brackets(text, self.phonemes)
        return clean_text(text, language)

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
        found = self._tokenizer.encode(cleaned.replace(" ", SPACE))
        before = []
        for place, letter in enumerate(cleaned):
            before += [place] * (len(SPACE) if letter == " " else 1)
        before.append(len(cleaned))
        return found.ids, [(before[first], before[end]) for first, end in found.offsets]

    def encode(self, text: str, language: str) -> list[int]:
        """Ids of ``text``, its language token first, without start and stop.

        Raises:
            TextError: the vocabulary does not know ``language``, or the package that
                reads it is missing.
        """
        return self._encode(self.language_token(language), self.clean(text, language)).ids

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
        return self._tokenizer.encode(f"[{name}]{cleaned}".replace(" ", SPACE))

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
        ids = self._tokenizer.encode(token).ids
        return [number for number in ids if number != self._tokenizer.token_to_id(UNKNOWN)]

    def language_token(self, language: str) -> str:
        """Name of the vocabulary's language token for a code such as ``en`` or ``en-us``.

        Raises:
            TextError: there is none.
        """
        name = vocabulary_language(language)
        if name not in self.languages:
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
    cleaned = [(clean_text(*pair), base_language(pair[1])) for pair in texts]
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
    learner.train_from_iterator((clean_text(*pair) for pair in texts), trainer)
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
    except Exception as error:  # tokenizers raises bare Exception for malformed files
        raise TextError(f"{path} is not a tokenizer file: {error}.") from error
