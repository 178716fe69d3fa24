"""SV2TTS inside a graph: symbols of a text, a Tacotron's mel, and RTVC's Griffin-Lim."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import RTVC_SYNTHESIZER, MelSpec
from myxtts.audio.rtvc_griffin_lim import LEAST, POWER
from myxtts.generation.mels import FRAMES_A_CHARACTER, LEAST_FRAMES, MOST_FRAMES, QUIET
from myxtts.models.tacotron import Masks, Tacotron
from myxtts.serving.graph.griffin_lim import GraphGriffinLim
from myxtts.serving.graph.text.characters import CODE_POINTS, CharacterTable
from myxtts.text.phonemes import TOKENS
from myxtts.text.symbols import END

# What of the past is left in a sample by de-emphasis: 0.97 to this power is below 1e-10.
REMEMBERED = 800


class GraphSymbols(tf.Module):
    """A text, a string scalar, to ids int32 ``(characters,)`` with the end mark.

    Letters are read in lower case, phonemes in brackets where the symbols have them; signs that
    are none of the symbols are left out. Numbers and abbreviations are to be in words.

    Args:
        symbols: in the order of their ids, the padding first.
    """

    def __init__(self, symbols: tuple[str, ...]):
        super().__init__(name="symbols")
        own = {symbol: place for place, symbol in enumerate(symbols)}
        self.end = own[END]
        letters = {sign: own[sign] for sign in symbols[1:] if len(sign) == 1 and sign != END}
        letters |= {sign.upper(): place for sign, place in letters.items() if sign.islower()}
        spoken = {sign: own[token] for sign, token in TOKENS.items() if token in own}
        self.brackets = bool(spoken)
        marks = {sign: own[sign] for sign in " .,!?-;:" if sign in own}
        self.outside, self.inside = _table(letters), _table(spoken | marks)

    def __call__(self, text):
        points = tf.strings.unicode_decode(tf.strings.strip(text), "UTF-8")
        ids = self.outside(points)
        if self.brackets:
            opened = tf.cast(points == ord("["), "int32") - tf.cast(points == ord("]"), "int32")
            ids = tf.where(tf.cumsum(opened) > 0, self.inside(points), ids)
        return tf.concat([tf.boolean_mask(ids, ids > 0), [self.end]], 0)


def _table(ids: dict[str, int]) -> CharacterTable:
    values = np.zeros(CODE_POINTS, "int32")
    for sign, place in ids.items():
        values[ord(sign)] = place
    return CharacterTable(values)


class GraphTacotron(tf.Module):
    """Ids and an embedding to a mel ``(frames, mels)``, up to its last frame that is no silence.

    Args:
        model: the Tacotron.
    """

    def __init__(self, model: Tacotron):
        super().__init__(name="tacotron")
        self.model = model

    def __call__(self, ids, embedding, seed):
        """The mel, and whether the text came to its end."""
        characters = tf.shape(ids)[0]
        limit = tf.minimum(MOST_FRAMES, LEAST_FRAMES + FRAMES_A_CHARACTER * characters)
        steps = -(-limit // self.model.r)
        masks = self._masks(characters, steps, seed)
        made = self.model.generate(ids[None], embedding[None], limit, masks=masks)
        mel = made.linear[0, : made.lengths[0]]
        loud = tf.where(tf.reduce_max(mel, axis=1) >= QUIET)
        heard = tf.cast(tf.reduce_max(tf.concat([[[0]], loud], 0)), "int32") + 1
        return mel[: tf.maximum(heard, 2)], made.ended[0]

    def _masks(self, characters, steps, seed) -> Masks:
        config = self.model.config
        if not (config.dropout and config.dropout_in_speech):
            return Masks()

        def kept(shape, number):
            drawn = tf.random.stateless_uniform(shape, tf.stack([seed, number]))
            return tf.cast(drawn < 1.0 - config.dropout, "float32")

        return Masks(
            kept([2, 1, characters, config.encoder_dims], 0),
            kept(tf.stack([steps, 2, 1, config.prenet_width]), 1),
        )


class GraphRtvcGriffinLim(GraphGriffinLim):
    """A mel in limited decibels ``(frames, n_mels)`` to a waveform ``((frames - 1) * hop,)``.

    The magnitudes are those of :func:`myxtts.audio.rtvc_griffin_lim.rtvc_griffin_lim`; the
    phases are found by the faster iteration that the house has in its graphs.

    Args:
        spec: front-end of the mels.
    """

    def __init__(self, spec: MelSpec = RTVC_SYNTHESIZER):
        super().__init__(spec)
        past = spec.preemphasis ** np.arange(REMEMBERED - 1, -1, -1)
        self.past = past.astype("float32")[:, None, None]

    def __call__(self, mel):
        wave = super().__call__(mel)
        padded = tf.pad(wave[None, :, None], [[0, 0], [REMEMBERED - 1, 0], [0, 0]])
        wave = tf.nn.conv1d(padded, self.past, 1, "VALID")[0, :, 0]
        return wave / tf.maximum(tf.reduce_max(tf.abs(wave)), 1.0)

    def _power(self, log_mel):
        spec = self.spec
        share = (tf.clip_by_value(log_mel, -spec.limit, spec.limit) + spec.limit) / (2 * spec.limit)
        decibels = share * (spec.highest_db - spec.lowest_db) + spec.lowest_db
        linear = tf.matmul(tf.pow(10.0, decibels / 20), self.inverse)
        return tf.pow(tf.maximum(linear, LEAST), 2 * POWER)
