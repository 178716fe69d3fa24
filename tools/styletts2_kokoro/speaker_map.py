"""The map from what is heard of a speaker to coordinates of the voice space, and its files.

Linear: coordinates are (embedding - background) times weights times gain. The background is the
mean of real speakers, so that whoever is an average speaker gets the median of Kokoro's voices:
recordings and Kokoro's speech lie apart in an embedding for reasons that are nobody's voice.

``speaker_map.npz`` holds arrays, one set for each hearing, ``speaker_map.json`` beside it where
they come from: sources, licences, scores, the command that makes them anew, and the SHA-256.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.digests import check_seal, file_sha256, sealed
from myxtts.errors import DataError, WeightsError
from myxtts.files import cache_folder, replacing, write_whole
from tools.kokoro.voice_space import SpaceShape, VoiceSpace, build_space
from tools.kokoro.voices import load_voices

SHIPPED = Path(__file__).parent / "data"
ARRAYS, RECORD = "speaker_map.npz", "speaker_map.json"
COMMAND = "python tools/build_speaker_map.py"
# Row by which a voice is known again, and how far its values may be from what they were.
SIGN_ROW, SIGN_TOLERANCE = 50, 1e-3


@dataclass(frozen=True)
class SpeakerMap:
    """A map for one hearing.

    Attributes:
        hearing: name of what hears.
        weights: ``(size, components)``, to standard deviations of the voices.
        background: what is heard of real speakers on average, ``(size,)``.
        gain: of each component, ``(components,)``.
        voices: row 50 of each voice that spans the space, ``(256,)`` by name.
        record: all that is known of where the map comes from.
    """

    hearing: str
    weights: np.ndarray
    background: np.ndarray
    gain: np.ndarray
    voices: Mapping[str, np.ndarray]
    record: Mapping[str, Any] = field(default_factory=dict)

    def coordinates(self, embedding: np.ndarray) -> np.ndarray:
        """Coordinates ``(components,)`` for what was heard, ``(size,)``; float32.

        Raises:
            WeightsError: the embedding has another size.
        """
        if np.shape(embedding) != self.background.shape:
            raise WeightsError(
                f"the map for {self.hearing} takes {self.background.shape}, not an embedding of "
                f"{np.shape(embedding)}."
            )
        moved = (embedding - self.background) @ self.weights * self.gain
        return moved.astype("float32")

    def space(self, voices: str | Path) -> VoiceSpace:
        """The space of the map's coordinates, from Kokoro's voices in a folder or archive.

        Raises:
            DataError: one of the voices is not there, or is another.
        """
        found = load_voices(voices)
        for name, sign in self.voices.items():
            if name not in found:
                raise DataError(f"{voices} lacks the voice {name}, which the map was learned with.")
            if not np.allclose(found[name][SIGN_ROW, 0], sign, atol=SIGN_TOLERANCE):
                raise DataError(
                    f"the voice {name} in {voices} is another than the map was learned with; "
                    "give Kokoro's own by --voices."
                )
        packs = np.stack([found[name] for name in self.voices])
        return build_space(packs, SpaceShape(components=len(packs)))


def save_maps(folder: str | Path, maps: Mapping[str, SpeakerMap], record: Mapping) -> None:
    """Write maps of one set of voices, and their record.

    Raises:
        CheckpointError: they cannot be written.
    """
    folder = Path(folder)
    first = next(iter(maps.values()))
    arrays = {"voices": np.stack(list(first.voices.values())).astype("float32")}
    for name, one in maps.items():
        for part in ("weights", "background", "gain"):
            arrays[f"{name}/{part}"] = getattr(one, part).astype("float32")
    with replacing(folder / ARRAYS) as fresh:
        np.savez(fresh, **arrays)
    content = {"voices": list(first.voices), "hearings": list(maps), **record}
    content = sealed({**content, "sha256": file_sha256(folder / ARRAYS)})
    write_whole(folder / RECORD, json.dumps(content, indent=1) + "\n")


def load_maps(folder: str | Path = SHIPPED) -> dict[str, SpeakerMap]:
    """Maps of a folder by the name of what hears; empty where there is no record.

    Raises:
        WeightsError: the files are damaged, or do not belong together.
    """
    folder = Path(folder)
    if not (folder / RECORD).is_file():
        return {}
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        check_seal(record, folder / RECORD, WeightsError)
        if file_sha256(folder / ARRAYS) != record["sha256"]:
            raise WeightsError(f"{folder / ARRAYS} is not the file that {RECORD} tells of.")
        content = (folder / ARRAYS).read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive)
        voices = dict(zip(record["voices"], arrays["voices"], strict=True))
        return {
            name: SpeakerMap(
                name,
                *(arrays[f"{name}/{part}"] for part in ("weights", "background", "gain")),
                voices,
                record,
            )
            for name in record["hearings"]
        }
    # Whatever stands in a record that nobody sealed, and in an archive beside it.
    except Exception as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"the map in {folder} cannot be read: {error}.") from error


def load_map(hearing: str, folder: str | Path = SHIPPED) -> SpeakerMap:
    """The map for a hearing.

    Raises:
        WeightsError: there is none, or the files are damaged.
    """
    maps = load_maps(folder)
    if hearing not in maps:
        known = ", ".join(maps) or "none"
        raise WeightsError(
            f"there is no map for {hearing} in {folder} (there: {known}); "
            f"make it by: {COMMAND} --hearing {hearing}"
        )
    return maps[hearing]


def own_folder(provenance: str) -> Path:
    """Where a map for weights of the user's own is kept, by where those come from."""
    return cache_folder() / f"styletts2-map-{provenance.rpartition(':')[2][:16]}"
