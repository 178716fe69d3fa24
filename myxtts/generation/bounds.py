"""How long speech may be, and how much text is spoken at once."""

from __future__ import annotations

from keras import ops

from myxtts.config import SynthesisConfig
from myxtts.timing import SECONDS_PER_CODE

# What any text may take beside the seconds of its characters.
SPARE_SECONDS = 2.0
# What a token of text takes to say, with some to spare: 140 ms.
CODES_PER_TOKEN = 3


def code_bounds(characters, settings: SynthesisConfig, max_new_codes: int) -> tuple:
    """Most and least audio codes, int ``(batch,)``, of texts of so many characters.

    Args:
        characters: int ``(batch,)``.
        settings: their ``seconds_per_character`` and ``min_seconds_per_character``.
        max_new_codes: of the GPT.
    """
    characters = ops.cast(characters, "float64")
    seconds = SPARE_SECONDS + settings.seconds_per_character * characters
    most = ops.cast(ops.ceil(seconds / SECONDS_PER_CODE), "int32")
    most = ops.minimum(most, max_new_codes)
    shortest = 0.0 if settings.coqui_compatible else settings.min_seconds_per_character
    least = ops.cast(shortest * characters / SECONDS_PER_CODE, "int32")
    return most, ops.minimum(least, most - 1)


def piece_tokens(max_text_tokens: int, max_new_codes: int) -> int:
    """Tokens of text that a GPT can both read and finish speaking at once."""
    return min(max_text_tokens - 1, max_new_codes // CODES_PER_TOKEN)


def heard_latents(lengths, finished, settings: SynthesisConfig):
    """Latents that are decoded of speech of ``lengths`` codes ``(batch,)``.

    Coqui decodes the latent of the stop code, too, where it came (``finished``).
    """
    return lengths + ops.cast(finished, "int32") if settings.coqui_compatible else lengths
