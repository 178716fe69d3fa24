"""Settings of a corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from myxtts.settings import Settings, setting, to_dict

# With these alone a corpus that was begun may be gone on with: more hours only add to it.
# The tempos of recordings count only where there are recordings, see the record.
_MAY_CHANGE = ("hours", "kokoro_hours", "recording_tempos")
_TEMPOS = {"at_least": 0.5, "at_most": 2.0}


@dataclass(frozen=True)
class VoiceCorpusConfig(Settings):
    """Of ``tools/make_voice_corpus.py``."""

    hours: float = setting(25.0, "speech of pseudo-speakers", "hours", at_least=0)
    speakers: int = setting(400, "how many pseudo-speakers", at_least=2)
    kokoro_hours: float = setting(0.0, "speech of Kokoro's voices", "hours", at_least=0)
    kokoro_mixtures: int = setting(300, "speakers mixed of Kokoro's voices", at_least=0)
    kokoro_tempos: tuple[float, ...] = setting(
        (),
        "copies of Kokoro's speech, played so many times as fast, as other speakers",
        **_TEMPOS,
    )
    recording_tempos: tuple[float, ...] = setting(
        (0.88, 1.13),
        "the same of recordings; nothing behind the flag: no copies",
        may_be_empty=True,
        **_TEMPOS,
    )
    austen: bool = setting(True, "take sentences of Jane Austen's novels")
    grammar_sentences: int = setting(15_000, "sentences of today's English", at_least=100)
    val_share: float = setting(
        0.02, "share of texts and hours for validation", at_least=0.005, at_most=0.5
    )
    audio_format: Literal["ogg", "flac"] = setting("ogg", "of the clips: ogg (Vorbis) or flac")
    check_every: int = setting(
        25, "Whisper hears every so many-th clip and leaves out what is wrong; 0: none", at_least=0
    )
    shard_clips: int = setting(100, "clips that are written at a time", at_least=1)
    seed: int = setting(0, "of texts, speakers and who says what", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("kokoro_tempos", "recording_tempos"):
            tempos = getattr(self, name)
            distinct = len(set(tempos)) == len(tempos) and 1.0 not in tempos
            self.require(distinct, name, "without 1 and without repetitions")

    @property
    def fixed(self) -> dict:
        """What a corpus that was begun must be gone on with."""
        return {name: value for name, value in to_dict(self).items() if name not in _MAY_CHANGE}
