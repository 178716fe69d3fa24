"""Settings of a voice made of recordings. The command line's flags are made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from myxtts.settings import Settings, setting


@dataclass(frozen=True)
class OnePassConfig(Settings):
    """How a voice is made of recordings.

    Raises:
        ConfigError: a value is of the wrong type or outside its range.
    """

    encoder: Literal["auto", "styletts2", "speaker"] = setting(
        "auto",
        "who hears: StyleTTS2's style encoders, Resemblyzer with ECAPA-TDNN, or auto: "
        "StyleTTS2's where its weights and a map for them are on this machine",
    )
    style_weights: str = setting(
        "", "StyleTTS2's checkpoint, a path or hf://owner/name/file (default: the hub's cache)"
    )
    gain: float = setting(
        1.0, "how far from the median voice, in times of what the map says", at_least=0
    )
    voices: str = setting("", "folder or archive of Kokoro's voices (default: found)")
