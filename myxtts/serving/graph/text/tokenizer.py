"""Texts of several languages to ids, inside a graph."""

from __future__ import annotations

import tensorflow as tf

from myxtts.serving.graph.refusal import required
from myxtts.serving.graph.text.bpe import GraphBPE
from myxtts.serving.graph.text.characters import SPOKEN, GraphCharacters, points_of
from myxtts.serving.graph.text.cleaning import GraphCleaner, is_readable
from myxtts.serving.graph.text.phonemes import GraphPhonemes
from myxtts.text.languages import base_language, vocabulary_language
from myxtts.text.tokenizer import VoiceBpeTokenizer


class GraphTokenizer(tf.Module):
    """:meth:`VoiceBpeTokenizer.encode` of a batch, as core operations.

    Attributes:
        languages: codes whose texts it reads.
        ids_only: codes of the vocabulary that it does not, since their cleaning needs a
            dictionary or another program.

    Args:
        tokenizer: whose ids they are.
        max_tokens: of a text.

    Raises:
        TextError: the tokenizer is of another kind than Coqui's.
    """

    def __init__(self, tokenizer: VoiceBpeTokenizer, max_tokens: int):
        super().__init__(name="tokenizer")
        names = tokenizer.languages
        self.languages = [name for name in names if is_readable(name)]
        self.ids_only = [name for name in names if name not in self.languages]
        self.max_tokens = max_tokens
        # No text of so many tokens has more characters.
        self.max_characters = max_tokens * max(map(len, tokenizer.vocabulary))
        self.characters = GraphCharacters()
        self.phonemes = GraphPhonemes(tokenizer) if tokenizer.has_phonemes else None
        self.bpe = GraphBPE(tokenizer)
        self.cleaners = [
            GraphCleaner(self.characters, tokenizer.mender(name), base_language(name))
            for name in self.languages
        ]
        codes = [name.replace("_", "-") for name in self.languages]
        self.codes = tf.constant(codes)
        # What a code without a token of its own falls back to.
        self.bases = tf.constant(
            [
                base_language(name)
                if name in (vocabulary_language(name), base_language(name))
                else ""
                for name in self.languages
            ]
        )
        vocabulary = tokenizer.vocabulary
        self.tokens = tf.constant([vocabulary[f"[{name}]"] for name in self.languages], "int32")

    def __call__(self, texts, languages) -> dict:
        """Ids of ``texts`` ``(batch,)``, each in its own of ``languages`` ``(batch,)``.

        Returns:
            ``ids`` int32 ``(batch, tokens)``, padded with zeros, ``id_lengths`` and
            ``characters`` int32 ``(batch,)``: of the texts as they were given.
        """
        number = self._language_numbers(languages)
        kinds = (tf.TensorSpec((None,), "int32"),) + (tf.TensorSpec((), "int32"),) * 2
        ids, lengths, characters = tf.map_fn(
            lambda row: self._row(*row), (texts, number), fn_output_signature=kinds
        )
        ids = ids[:, : tf.reduce_max(tf.pad(lengths, [[0, 1]]))]
        return {"ids": ids, "id_lengths": lengths, "characters": characters}

    def clean(self, text, number):
        """The cleaned text of a string with single spaces, of a language by its number."""
        branches = [lambda cleaner=cleaner: cleaner(text) for cleaner in self.cleaners]
        return tf.switch_case(number, branches)

    def _row(self, text, number) -> tuple:
        text = self.characters.collapse(self._bounded(text))
        points = points_of(text)
        spoken = tf.reduce_any(self.characters.is_kind(points, SPOKEN))
        text = required(text, (spoken, "a text has nothing that can be spoken."))
        if self.phonemes:
            text = self.characters.collapse(self.phonemes(text))
        own = self.bpe(self.clean(text, number))
        own = tf.concat([self.tokens[number][None], own], axis=0)
        length = tf.size(own)
        sentence = f"a text has more than {self.max_tokens} tokens: send it in pieces."
        room = required(self.max_tokens - length, (length <= self.max_tokens, sentence))
        return tf.pad(own, [[0, tf.maximum(room, 0)]]), length, tf.size(points)

    def _bounded(self, text):
        length = tf.strings.length(text, unit="UTF8_CHAR")
        sentence = f"a text has more than {self.max_characters} characters: send it in pieces."
        return required(text, (length <= self.max_characters, sentence))

    def _language_numbers(self, languages):
        """Numbers ``(batch,)`` of codes such as ``en`` and ``en-GB``: of their own token or the
        language's."""
        codes = tf.strings.lower(tf.strings.regex_replace(languages, "_", "-"))
        base = tf.strings.regex_replace(codes, "-.*$", "")
        exact = tf.cast(codes[:, None] == self.codes, "int32")
        same = tf.cast(base[:, None] == self.bases, "int32")
        fits = 2 * exact + same
        known = tf.reduce_all(tf.reduce_any(fits > 0, axis=1))
        sentence = f"unknown language; texts here are {', '.join(self.languages)}."
        if self.ids_only:
            sentence += f" Of {', '.join(self.ids_only)} send ids to synthesize_ids."
        with tf.control_dependencies([tf.debugging.Assert(known, [sentence, languages])]):
            return tf.argmax(fits, axis=1, output_type="int32")
