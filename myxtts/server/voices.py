"""Voices of the model and those that were uploaded, each of its owner's; blends of them."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import threading
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from myxtts.errors import CheckpointError, ConfigError, MyXTTSError
from myxtts.files import discard_folder, mend_folder, read_object, replacing_folder
from myxtts.server.engines import Engine, mixed
from myxtts.server.failures import ApiError
from myxtts.server.settings import ServerSettings

logger = logging.getLogger(__name__)

# A name becomes a folder's: no dots, no slashes, one case.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
FILE, FACTS = "voice.safetensors", "voice.json"
MOST_PARTS = 8
# Voices in memory.
_KEPT = 64
# What a killed writer left: see myxtts.files.
_LEFT = re.compile(r"\.(?P<name>.+)\.[0-9a-f]+-[0-9a-f]{8}\.(new|old|gone)")


@dataclass(frozen=True)
class VoiceFacts:
    """What is told of a voice; ``own`` is whether it is the model's."""

    id: str
    about: str = ""
    created: int = 0
    own: bool = False


class VoiceStore:
    """Voices by name; an uploaded one is a folder that appears whole or not at all.

    Args:
        engine: makes and reads voices.
        settings: where they lie, and how many a key may have.
    """

    def __init__(self, engine: Engine, settings: ServerSettings):
        self._engine, self._settings = engine, settings
        self._root = Path(settings.voices)
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._sweep()

    def facts(self, owner: str) -> list[VoiceFacts]:
        """All voices that ``owner`` may name, the model's own first."""
        own = [VoiceFacts(name, about, own=True) for name, about in self._engine.own_voices.items()]
        return own + [self._read(path) for path in self._folders(owner)]

    def fact(self, name: str, owner: str) -> VoiceFacts:
        """Of one voice; raises ``ApiError`` 404 where there is none."""
        for found in self.facts(owner):
            if found.id == name:
                return found
        raise unknown(name, [found.id for found in self.facts(owner)], 404)

    def voice(self, text: str | None, owner: str) -> Any:
        """A voice by its name, a blend such as ``a:0.7+b:0.3``, or the default for None.

        Raises:
            ApiError: there is none of that name, or the blend is none.
        """
        known = [found.id for found in self.facts(owner)]
        if not known:
            raise ApiError(400, "there are no voices yet: POST /v1/voices.", "no_voice", "voice")
        if text in (None, "", "default"):
            text = known[0]
        parts = blend(text)
        for name, _ in parts:
            if name not in known:
                raise unknown(name, known, 400)
        voices = [self._voice(name, owner) for name, _ in parts]
        return voices[0] if len(parts) == 1 else mixed(voices, [weight for _, weight in parts])

    def check_new(self, name: str, owner: str) -> None:
        """Raise ``ApiError`` unless ``owner`` may add a voice of that name."""
        if not NAME.fullmatch(name) or name == "default":
            told = "a voice's name has 1 to 64 of a-z, 0-9, _ and -, a letter or digit first"
            raise ApiError(400, f"{told}.", "invalid_value", "name")
        folders = self._folders(owner)
        if name in self._engine.own_voices or name in [folder.name for folder in folders]:
            raise ApiError(409, f"there is a voice {name} already.", "exists", "name")
        if len(folders) >= self._settings.max_voices:
            raise ApiError(403, f"{len(folders)} voices are kept already; delete one.", "full")

    def add(self, name: str, about: str, owner: str, recording: Path) -> VoiceFacts:
        """Make a voice of a recording and keep it.

        Raises:
            ApiError: as :meth:`check_new`.
            AudioError: nothing can be heard in the recording.
        """
        voice = self._engine.condition(recording)
        facts = VoiceFacts(name, about, int(time.time()))
        with self._lock:
            self.check_new(name, owner)
            with replacing_folder(self._root / owner / name) as fresh:
                self._engine.save(voice, fresh / FILE)
                (fresh / FACTS).write_text(json.dumps(asdict(facts)), encoding="utf-8")
        return facts

    def remove(self, name: str, owner: str) -> None:
        """Forget an uploaded voice; raises ``ApiError`` where that cannot be."""
        if self.fact(name, owner).own:
            raise ApiError(403, f"{name} is the model's own voice; it stays.", "own_voice")
        with self._lock:
            self._kept.pop((owner, name), None)
            discard_folder(self._root / owner / name)

    def _voice(self, name: str, owner: str) -> Any:
        key = (owner, name)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        if name in self._engine.own_voices:
            voice = self._engine.own_voice(name)
        else:
            voice = self._engine.load(self._root / owner / name / FILE)
        with self._lock:
            # It may have been deleted meanwhile.
            if name in self._engine.own_voices or (self._root / owner / name).is_dir():
                self._kept[key] = voice
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return voice

    def _folders(self, owner: str) -> list[Path]:
        room = self._root / owner
        if not room.is_dir():
            return []
        return sorted(p for p in room.iterdir() if NAME.fullmatch(p.name) and (p / FACTS).is_file())

    def _read(self, folder: Path) -> VoiceFacts:
        try:
            values = read_object(folder / FACTS, CheckpointError, "is damaged")
            about, created = str(values.get("about", "")), int(values.get("created", 0))
            return VoiceFacts(folder.name, about, created)
        except (MyXTTSError, TypeError, ValueError) as error:
            logger.warning("%s", error)
            return VoiceFacts(folder.name)

    def _sweep(self) -> None:
        """Take away, or put back, what a killed server had in hand."""
        for path in self._root.glob("*/.*"):
            if not (found := _LEFT.fullmatch(path.name)):
                continue
            if path.name.endswith(".gone"):
                shutil.rmtree(path, ignore_errors=True)
            else:
                mend_folder(path.with_name(found["name"]))


def unknown(name: str, known: list[str], status: int) -> ApiError:
    """There is no voice of that name."""
    told = ", ".join(known[:20]) or "none"
    return ApiError(
        status, f"there is no voice {name[:64]!r}; there are: {told}.", "no_voice", "voice"
    )


def blend(text: str) -> list[tuple[str, float]]:
    """Names and weights of a blend; one name is a blend, too.

    Raises:
        ConfigError: a weight is no number above 0, or there are too many parts.
    """
    parts = [_part(part) for part in text.split("+")]
    if len(parts) > MOST_PARTS:
        raise ConfigError(f"a blend has {MOST_PARTS} voices at most.")
    return parts


def _part(text: str) -> tuple[str, float]:
    name, colon, weight = text.strip().partition(":")
    try:
        number = float(weight) if colon else 1.0
    except ValueError:
        number = math.nan
    if not (0 < number <= 1e6 and math.isfinite(number)):
        raise ConfigError(f"the weight {weight[:20]!r} in a blend of voices must be above 0.")
    return name.strip(), number
