"""A corpus on disk: begun, gone on with, finished; its record."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from myxtts.errors import DataError
from myxtts.files import locked, writable_folder, write_whole
from tools.voice_corpus.plan import KINDS, RECORDED, SPEAKING, Plan
from tools.voice_corpus.shards import Shard, make_part, make_recorded, pool
from tools.voice_corpus.texts import PARTS, Texts

RECORD, SPEAKERS, METADATA = "record.json", "speakers.json", "metadata.jsonl"
LICENCES = {
    "austen": "Jane Austen's novels: public domain (Debian's r-cran-janeaustenr, package MIT)",
    "grammar": "tools/voice_corpus/grammar.txt: the licence of MyXTTS",
    "hibari": "hibari-tts 0.2.1 and its speech: Apache-2.0; distilled from Kokoro-82M: Apache-2.0",
    "kokoro": "Kokoro-82M and its voices: Apache-2.0",
    "recordings": "recordings that were given: each folder's own licence, which is not known here; "
    "see that it allows what the voice is for",
    "whisper": "Whisper tiny.en, which hears: MIT",
}
# What a corpus was that was begun before these could be set.
_BEFORE = {"kokoro_tempos": []}
# None in the record of a corpus without recordings, to which they may be added.
_ADDED = ("recordings_sha256", "recording_tempos")
_PACKAGES = (
    "hibari-tts",
    "onnx",
    "onnxruntime",
    "numpy",
    "scipy",
    "soxr",
    "soundfile",
    "faster-whisper",
)


def make(plan: Plan, texts: Texts, output: Path, workers: int) -> dict[str, Any]:
    """Make a corpus in ``output``, or what is missing of it.

    Returns:
        The record's ``result``.

    Raises:
        DataError: another process makes it, it was begun with other settings, or it cannot be
            written.
    """
    started = time.monotonic()
    writable_folder(output, DataError)
    with locked(output, DataError):
        record = _begun(plan, texts, output)
        made = _shards(plan, output, workers)
        for part in PARTS:
            lines = [row for kind in KINDS for shard in made[kind, part] for row in shard.lines]
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines)
            write_whole(output / part / METADATA, content, DataError)
        record["result"] = result(made) | {"seconds": round(time.monotonic() - started, 1)}
        _write(output / RECORD, record)
    return record["result"]


def _shards(plan: Plan, output: Path, workers: int) -> dict[tuple[str, str], list[Shard]]:
    with pool(plan, output, workers) as executor:
        made = {
            (kind, part): make_part(executor, workers, kind, part, plan.hours(kind, part))
            if plan.hours(kind, part)
            else []
            for kind in SPEAKING
            for part in PARTS
        }
        for part in PARTS:
            count = plan.recorded_shards(part)
            made[RECORDED, part] = make_recorded(executor, workers, RECORDED, part, count)
    if plan.recordings and not any(s.lines for part in PARTS for s in made[RECORDED, part]):
        raise DataError(
            f"none of the recordings of {', '.join(plan.recordings.folders)} is usable."
        )
    return made


def _begun(plan: Plan, texts: Texts, output: Path) -> dict[str, Any]:
    """The record of the corpus, written before its first clip."""
    record = new_record(plan, texts)
    if (output / RECORD).is_file():
        _check_same(record["fixed"], _read(output / RECORD).get("fixed", {}), output)
    speakers = {
        speaker.name: dataclasses.asdict(speaker) | {"kind": kind}
        for kind in plan.speakers
        for speaker in plan.speakers[kind]
    }
    _write(output / SPEAKERS, speakers)
    _write(output / RECORD, record)
    return record


def new_record(plan: Plan, texts: Texts) -> dict[str, Any]:
    """Record of a corpus without a result."""
    used = {"grammar", "hibari"} | ({"austen"} if plan.config.austen else set())
    used |= {"kokoro"} if plan.config.kokoro_hours else set()
    used |= {"recordings"} if plan.recordings else set()
    used |= {"whisper"} if plan.config.check_every or plan.recordings else set()
    return {
        "made_by": "tools/make_voice_corpus.py",
        "licences": {name: LICENCES[name] for name in LICENCES if name in used},
        "fixed": plan.config.fixed | {"texts_sha256": texts.digest} | _fixed_recordings(plan),
        "hours": plan.config.hours,
        "kokoro_hours": plan.config.kokoro_hours,
        "texts": dict(texts.counts),
        "recordings": {"folders": list(plan.recordings.folders), **plan.recordings.counts},
        "versions": _versions(),
        "result": None,
    }


def _fixed_recordings(plan: Plan) -> dict[str, Any]:
    tempos = list(plan.tempos(RECORDED)) if plan.recordings else None
    return dict(zip(_ADDED, (plan.recordings.digest, tempos), strict=True))


def _versions() -> dict[str, str | None]:
    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {name: version(name) for name in _PACKAGES}


def _check_same(new: Mapping[str, Any], old: Mapping[str, Any], output: Path) -> None:
    old = {**_BEFORE, **old}
    for name, value in new.items():
        before = old.get(name)
        if before != value and not (before is None and name in _ADDED):
            raise DataError(
                f"{output} was begun with {name} {before!r}, and now it is {value!r}; "
                "only the hours may change: go on as before, or name another --output."
            )


def result(made: Mapping[tuple[str, str], Sequence[Shard]]) -> dict[str, Any]:
    """Counts of all shards, by the keys of ``--json``."""
    shards = [shard for found in made.values() for shard in found]
    words = sum(shard.words for shard in shards)
    hours = {part: 0.0 for part in PARTS}
    clips = dict.fromkeys(PARTS, 0)
    for (_, part), found in made.items():
        hours[part] += sum(shard.seconds + shard.copied for shard in found) / 3600
        clips[part] += sum(len(shard.lines) for shard in found)
    speakers = {row["speaker"] for shard in shards for row in shard.lines}
    return {
        "hours": {part: round(value, 4) for part, value in hours.items()},
        "clips": clips,
        "speakers": len(speakers),
        "checked": sum(shard.checked for shard in shards),
        "wer": round(sum(shard.errors for shard in shards) / words, 4) if words else None,
        "misheard": sum(shard.misheard for shard in shards),
        "unusable": sum(shard.unusable for shard in shards),
        "unreadable": sum(shard.unreadable for shard in shards),
        "held_out": sum(shard.held_out for shard in shards),
        "kinds": {kind: _kind(made, kind) for kind in KINDS},
    }


def _kind(made: Mapping[tuple[str, str], Sequence[Shard]], kind: str) -> dict[str, Any]:
    """Counts of one kind of clips; the copies at other tempos are among the clips and hours."""
    shards = [shard for part in PARTS for shard in made.get((kind, part), ())]
    rows = [row for shard in shards for row in shard.lines]
    return {
        "hours": round(sum(shard.seconds + shard.copied for shard in shards) / 3600, 4),
        "copied_hours": round(sum(shard.copied for shard in shards) / 3600, 4),
        "clips": len(rows),
        "clips_with_phonemes": sum("phonemes" in row for row in rows),
        "speakers": len({row["speaker"] for row in rows}),
    }


def _write(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n", DataError)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}, the record of the corpus: {error}.") from error
