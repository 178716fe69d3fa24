"""From recordings to a voice in one pass: hear, map, unfold. No training and no synthesis."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from myxtts.errors import ConfigError, WeightsError
from tools.kokoro.voice_sources import find_voices
from tools.kokoro.voice_space import VoiceSpace
from tools.kokoro.voices import SUFFIXES as VOICE_SUFFIXES
from tools.kokoro.voices import load_voice, load_voices
from tools.styletts2_kokoro.config import OnePassConfig
from tools.styletts2_kokoro.hearing import (
    STYLETTS2,
    Hearing,
    StyleHearing,
    average,
    open_speakers,
    read_reference,
    split,
)
from tools.styletts2_kokoro.speaker_map import COMMAND, SpeakerMap, load_map, load_maps, own_folder
from tools.styletts2_kokoro.style_weights import find_style_weights

logger = logging.getLogger(__name__)

# Clips of one speaker have higher cosines than this with nearly no exception, by encoder.
ALIKE = {"resemblyzer": 0.65, "ecapa": 0.25}


def open_hearing(config: OnePassConfig) -> tuple[Hearing, SpeakerMap]:
    """Who hears, and the map for it, as ``config.encoder`` says.

    Raises:
        WeightsError: weights or map are not to be had.
    """
    if config.encoder != "speaker":
        found = _style_hearing(config)
        if found:
            return found
    hearing = open_speakers()
    return hearing, load_map(hearing.name)


def _style_hearing(config: OnePassConfig) -> tuple[Hearing, SpeakerMap] | None:
    """StyleTTS2's encoders with their map; None where ``auto`` goes without."""
    asked = config.encoder == STYLETTS2 or bool(config.style_weights)
    path = find_style_weights(config.style_weights or None)
    if path is None:
        if asked:
            raise WeightsError(
                "StyleTTS2's weights are not on this machine; fetch them by 'hf download "
                "yl4579/StyleTTS2-LibriTTS Models/LibriTTS/epochs_2nd_00020.pth', or take "
                "--encoder speaker."
            )
        return None
    hearing = StyleHearing(path)
    own = load_maps(own_folder(hearing.provenance[STYLETTS2])).get(STYLETTS2)
    if own is None:
        command = f"{COMMAND} --hearing styletts2 --style-weights {path}"
        if asked:
            raise WeightsError(f"no map has been learned for {path} yet; make it by: {command}")
        logger.info("%s has no map yet, so speaker encoders hear; make it by: %s", path, command)
        return None
    return hearing, own


class VoiceMaker:
    """Makes voices of recordings, and blends of voices and recordings.

    Args:
        hearing: who hears.
        speaker_map: for that hearing.
        space: the map's.
        gain: how far from the median voice, in times of what the map says.
        stock: Kokoro's voices by name, which blends may name.
    """

    def __init__(
        self,
        hearing: Hearing,
        speaker_map: SpeakerMap,
        space: VoiceSpace,
        gain: float = 1.0,
        stock: dict[str, np.ndarray] | None = None,
    ) -> None:
        if hearing.name != speaker_map.hearing:
            raise ConfigError(f"a map for {speaker_map.hearing} cannot take {hearing.name}.")
        self.hearing, self.map, self.space = hearing, speaker_map, space
        self.gain, self.stock = gain, stock or {}

    @classmethod
    def open(cls, config: OnePassConfig | None = None) -> VoiceMaker:
        """As the settings say.

        Raises:
            WeightsError: weights or map are not to be had.
            DataError: Kokoro's voices are not.
        """
        config = config or OnePassConfig()
        folder = find_voices(config.voices or None)
        hearing, speaker_map = open_hearing(config)
        space = speaker_map.space(folder)
        return cls(hearing, speaker_map, space, config.gain, load_voices(folder))

    def coordinates(self, references: Sequence[str | Path]) -> np.ndarray:
        """Coordinates ``(components,)`` of the one speaker of some recordings.

        Recordings that sound like another speaker than the rest are named in the log.

        Raises:
            AudioError: one cannot be read, is silent, or holds less than a second of sound.
        """
        heard = np.stack([self.hearing.embed(read_reference(path)) for path in references])
        for path in strangers(references, heard, self.hearing.name):
            logger.warning("%s sounds like another speaker than the rest.", path)
        return self.gain * self.map.coordinates(average(heard, self.hearing.name))

    def voice(self, references: Sequence[str | Path]) -> np.ndarray:
        """The voice of some recordings of one speaker, float32 ``(510, 1, 256)``.

        Raises:
            AudioError: as :meth:`coordinates` says.
        """
        return self.space.pack(self.coordinates(references))

    def blend(self, parts: Sequence[tuple[str, float]]) -> np.ndarray:
        """A voice between others, float32 ``(510, 1, 256)``.

        Args:
            parts: a voice file, the name of one of Kokoro's voices or a recording, and its share;
                shares are brought to a sum of one.

        Raises:
            ConfigError: a share is not positive.
            DataError: a voice cannot be read.
            AudioError: a recording cannot be used.
        """
        if not parts or min(share for _, share in parts) <= 0:
            raise ConfigError("every part of a blend needs a share above 0.")
        total = sum(share for _, share in parts)
        points = [share / total * self._point(name) for name, share in parts]
        return self.space.pack(np.sum(points, axis=0))

    def _point(self, name: str) -> np.ndarray:
        if name in self.stock:
            return self.space.coordinates(self.stock[name])
        if Path(name).suffix in VOICE_SUFFIXES:
            return self.space.coordinates(load_voice(name))
        return self.coordinates([name])


def strangers(names: Sequence, heard: np.ndarray, hearing: str) -> list:
    """Those of three or more clips whose speaker is none of the others'.

    Args:
        names: of the clips.
        heard: their embeddings, ``(clips, size)``.
        hearing: name of what heard them; of StyleTTS2's styles nothing is known, so none is told.
    """
    if len(names) < 3 or STYLETTS2 in hearing:
        return []
    far = np.ones(len(names), bool)
    for part, vectors in zip(hearing.split("+"), split(heard, hearing), strict=True):
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, np.nan)
        # Of an even number the higher one: with three clips, a stranger must not outvote anybody.
        far &= np.nanquantile(cosines, 0.5, axis=1, method="higher") < ALIKE[part]
    return [name for name, is_far in zip(names, far, strict=True) if is_far]


def parse_blend(words: Sequence[str]) -> list[tuple[str, float]]:
    """``a.pt:0.7`` and the like as names and shares; without a share it is 1.

    Raises:
        ConfigError: a share is no number above 0.
    """
    parts = []
    for word in words:
        name, colon, share = word.rpartition(":")
        # A colon may belong to the name: of a drive, or of a file that is there.
        if not colon or Path(word).exists():
            name, share = word, "1"
        try:
            value = float(share)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise ConfigError(f"--mix {word}: {share!r} is no share; write NAME:0.7 say.")
        parts.append((name, value))
    return parts
