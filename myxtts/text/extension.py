"""More entries for an existing vocabulary, whose own ids stay what they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, models, trainers

from myxtts.errors import TextError
from myxtts.text.cleaners import clean_text
from myxtts.text.languages import base_language, vocabulary_language
from myxtts.text.mending import composed
from myxtts.text.tokenizer import UNKNOWN, VoiceBpeTokenizer

# Each id stands as one character of Unicode's private planes while new pairs are learned.
_PRIVATE = 0xF0000


def extend_tokenizer(
    tokenizer: VoiceBpeTokenizer, texts: Iterable[tuple[str, str]], room: int
) -> VoiceBpeTokenizer:
    """Add the languages, characters and frequent pairs of ``texts`` to a vocabulary.

    The pairs are learned (byte-pair encoding, Sennrich et al. 2016) over the ids that the
    texts have now, and are merged after all old pairs: what a text's ids were is only
    joined further.

    Args:
        tokenizer: the vocabulary to extend; it is left as it is.
        texts: pairs of a text and its language code.
        room: new entries at most; languages come first, then characters, then pairs.

    Raises:
        TextError: ``room`` does not even hold the new languages, or the package that reads
            a language is missing.
    """
    texts = [(text, base_language(language)) for text, language in texts]
    spoken = {vocabulary_language(language) for _, language in texts}
    names = sorted(spoken - set(tokenizer.languages))
    if len(names) > room:
        raise TextError(f"{room} new entries do not hold the new languages {', '.join(names)}.")
    state = json.loads(tokenizer.to_json())
    words = _words(state, texts)
    added = _add(state, [f"[{name}]" for name in names], special=True)
    added += _add(state, _new_characters(state, words, room - added))
    _add_pairs(state, words, room - added)
    return VoiceBpeTokenizer(Tokenizer.from_str(json.dumps(state)))


def _words(state: dict, texts: list[tuple[str, str]]) -> Counter:
    """What the tokenizer takes at once, and how often."""
    split = Tokenizer.from_str(json.dumps(state)).pre_tokenizer
    words: Counter = Counter(
        word for text, name in texts for word in clean_text(composed(text), name).split()
    )
    if split is None:
        return words
    parts: Counter = Counter()
    for word, count in words.items():
        parts.update({part: count for part, _ in split.pre_tokenize_str(word)})
    return parts


def _add(state: dict, tokens: list[str], special: bool = False) -> int:
    vocabulary = state["model"]["vocab"]
    taken = [*vocabulary.values(), *(item["id"] for item in state["added_tokens"])]
    for number, token in enumerate(tokens, max(taken) + 1):
        vocabulary[token] = number
        if special:
            state["added_tokens"].append(_special(number, token))
    return len(tokens)


def _special(number: int, token: str) -> dict:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": token, **flags, "special": True}


def _new_characters(state: dict, words: Counter, room: int) -> list[str]:
    """Characters of ``words`` that the vocabulary lacks, the most frequent first."""
    counts: Counter = Counter()
    for word, count in words.items():
        counts.update({character: count * word.count(character) for character in set(word)})
    known = state["model"]["vocab"]
    return [character for character, _ in counts.most_common() if character not in known][:room]


def _add_pairs(state: dict, words: Counter, room: int) -> None:
    """Learn pairs of the present tokens and append them to the merges."""
    present = Tokenizer.from_str(json.dumps(state))
    tokens = {number: token for token, number in present.get_vocab().items()}
    unknown = present.token_to_id(UNKNOWN)
    ids = {word: present.encode(word).ids for word in words}
    written = {word: _as_characters(row) for word, row in ids.items() if unknown not in row}
    alphabet = len(set("".join(written.values())))
    learner = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=alphabet + room, limit_alphabet=alphabet, min_frequency=2, show_progress=False
    )
    learner.train_from_iterator(
        (text for word, text in written.items() for _ in range(words[word])), trainer
    )
    for merge in json.loads(learner.to_str())["model"]["merges"]:
        pair = ["".join(tokens[ord(sign) - _PRIVATE] for sign in part) for part in merge]
        state["model"]["merges"].append(pair)
        if "".join(pair) not in state["model"]["vocab"]:
            _add(state, ["".join(pair)])


def _as_characters(ids: list[int]) -> str:
    return "".join(chr(_PRIVATE + number) for number in ids)
