"""When each word is spoken becomes which text id is spoken during each audio code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from myxtts.data.formats import Utterance
from myxtts.errors import AudioError
from myxtts.text.tokenizer import VoiceBpeTokenizer
from myxtts.timing import FRAME_SECONDS, FRAMES_PER_CODE

UNKNOWN_TOKEN = -1
# Durations may miss the clip's length by so much: codecs and roundings of frames do.
SLACK_SECONDS, SLACK_SHARE = 0.15, 0.05


def check_durations(utterance: Utterance, seconds: float) -> None:
    """Refuse durations that do not add up to the clip's ``seconds``, untrimmed.

    Raises:
        AudioError: they do not; the sentence starts with the reason.
    """
    total = sum(utterance.durations)
    if utterance.durations and abs(total - seconds) > max(SLACK_SECONDS, SLACK_SHARE * seconds):
        raise AudioError(
            f"durations off: they add up to {total:.2f} s, and the clip has {seconds:.2f} s"
        )


def word_seconds(utterance: Utterance) -> list[float] | None:
    """Seconds of each word of the text; None where its metadata does not say.

    Durations of phonemes are added up word by word, the pause behind a word with it. They tell
    nothing where the phonemes have other words than the text, as a number read out has.
    """
    words = len(utterance.text.split())
    if not utterance.timed_phonemes:
        return list(utterance.durations) or None
    if utterance.word_phonemes:
        return [sum(seconds) for seconds in by_word(utterance)]
    sums, after_space = [0.0], False
    for phoneme, seconds in zip(utterance.phonemes, utterance.durations, strict=True):
        if after_space and not phoneme.isspace():
            sums.append(0.0)
        after_space = phoneme.isspace()
        sums[-1] += seconds
    return sums if len(sums) == words else None


def by_word(utterance: Utterance) -> list[tuple[float, ...]]:
    """Seconds of each of a word's phonemes, the space behind it included.

    Args:
        utterance: with ``word_phonemes`` and their durations.
    """
    first, parts = 0, []
    for word in utterance.word_phonemes:
        parts.append(utterance.durations[first : first + len(word) + 1])
        first += len(word) + 1
    return parts


def token_ends(utterance: Utterance, tokenizer: VoiceBpeTokenizer) -> np.ndarray | None:
    """When each text id has been spoken, in seconds of the untrimmed clip.

    The letters of a word share its time evenly; spaces and the token of the language have none.

    Returns:
        Never falling float64 ``(ids,)``, or None where it is not known.
    """
    seconds = word_seconds(utterance)
    if seconds is None:
        return None

    def clean(words: Sequence[str]) -> str:
        return tokenizer.clean(" ".join(words), utterance.language)

    ends = letter_ends(utterance.text.split(), seconds, clean)
    behind = np.concatenate([[0.0], ends])
    spans = tokenizer.spans(utterance.text, utterance.language)
    return np.maximum.accumulate([behind[end] for _, end in spans])


def letter_ends(
    words: Sequence[str], seconds: Sequence[float], clean: Callable[[Sequence[str]], str]
) -> np.ndarray:
    """When each letter of the cleaned text has been spoken.

    Args:
        words: of the text.
        seconds: of each.
        clean: function from words to the text that is read for them.

    Returns:
        Float64 ``(letters,)``, spaces included, which take no time.
    """
    text = clean(words)
    steps = np.zeros(len(text))
    first_word = first_letter = 0
    for word, end in boundaries(words, text, clean):
        own = [place for place in range(first_letter, end) if not text[place].isspace()]
        steps[own] = sum(seconds[first_word:word]) / max(len(own), 1)
        first_word, first_letter = word, end
    return np.cumsum(steps)


def boundaries(words: Sequence[str], text: str, clean: Callable) -> list[tuple[int, int]]:
    """Numbers of words and of letters after which one knows that a word of both ends.

    Words that are read otherwise together than alone (``$ 3``), or not at all, are one with
    their neighbours.
    """
    plain = text == " ".join(words).lower()
    found = [(0, 0)]
    for count in range(1, len(words)):
        head = " ".join(words[:count]).lower() if plain else clean(words[:count])
        if text.startswith(f"{head} ") and text[found[-1][1] : len(head)].strip():
            found.append((count, len(head)))
    if len(found) > 1 and not text[found[-1][1] :].strip():
        found.pop()
    return [*found[1:], (len(words), len(text))]


def code_tokens(
    ends: np.ndarray | None, codes: int, trimmed: float, frames_each: int = FRAMES_PER_CODE
) -> np.ndarray:
    """Which text id is spoken in the middle of each audio code.

    Args:
        ends: as of :func:`token_ends`.
        codes: how many there are.
        trimmed: seconds cut off at the clip's start.
        frames_each: mel frames of one; fewer for parts of codes.

    Returns:
        Places in the text's ids, int32 ``(codes,)``; ``UNKNOWN_TOKEN`` without ``ends``.
    """
    if ends is None:
        return np.full(codes, UNKNOWN_TOKEN, "int32")
    # Mel frames are centred on their times.
    middle = np.arange(codes) * frames_each + (frames_each - 1) / 2
    spoken = np.searchsorted(ends, trimmed + middle * FRAME_SECONDS, side="right")
    return np.minimum(spoken, np.searchsorted(ends, ends[-1])).astype("int32")
