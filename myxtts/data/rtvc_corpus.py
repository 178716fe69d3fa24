"""Audio, mels and durations for RTVC's synthesizer, of a corpus in a layout of this package.

Where the corpus knows the phonemes of a text, the synthesizer reads those, in the brackets of
:mod:`myxtts.text.phonemes`; where it knows how long each takes, that guides the attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myxtts.audio.io import read_audio
from myxtts.data.formats import Utterance, find_utterances
from myxtts.data.rtvc_folders import (
    REFUSED,
    Refusals,
    append_lines,
    check_processes,
    in_processes,
    preparing,
    save_array,
    whole_lines,
)
from myxtts.data.rtvc_hparams import HPARAMS
from myxtts.data.rtvc_synthesizer import PARTS, TRAIN, Prepared, Speaker, write_utterance
from myxtts.data.synthesizer import FRAMES_A_SECOND, read_table
from myxtts.errors import AudioError, DataError, TextError, UnreadableError
from myxtts.files import writable_folder
from myxtts.text.phonemes import words_apart
from myxtts.text.symbols import PHONEME_SYMBOLS, SymbolTokenizer

# Which recording each utterance is of: corpora may have files of one name.
SOURCES = "sources.txt"
# Utterances that a process is given at once.
SHARE = 50
# Frames of the end mark, which is no sound.
END_FRAMES = 1.0


@dataclass(frozen=True)
class Selection:
    """Which utterances of a corpus are prepared.

    Attributes:
        shortest, longest: seconds.
        most: utterances at most, drawn with ``seed``; 0 for all.
        letters: their texts as they are written, without the phonemes.
        seed: of the draw.
    """

    shortest: float = 1.0
    longest: float = 11.25
    most: int = 0
    letters: bool = False
    seed: int = 0


@dataclass(frozen=True)
class _Task:
    utterances: tuple[tuple[str, Utterance], ...]
    out: Path
    selection: Selection


def preprocess_corpus(
    folder: str | Path, out: str | Path, selection: Selection = Selection(), processes: int = 4
) -> int:
    """Prepare a corpus, beside what ``out`` has; returns how many utterances are listed then.

    Utterances that are listed already stay as they are, so an interrupted run goes on. One that has
    the name of another recording's gets a number behind it.

    Args:
        folder: of the corpus, in any layout of :mod:`myxtts.data.formats`.
        out: folder of the result.
        selection: of utterances.
        processes: that work side by side.

    Raises:
        DataError: the corpus cannot be read, or nothing of it could be prepared.
    """
    check_processes(processes)
    chosen, out = choose(find_utterances(folder), selection), Path(out)
    parts = (*PARTS, "durations")
    for name in parts:
        writable_folder(out / name, DataError)
    with preparing(out, *parts):
        lines, refusals = whole_lines(out / TRAIN), Refusals(out, goes_on=True)
        known = {line.partition("|")[0] for line in lines}
        named = _named(chosen, out / SOURCES)
        left = [item for item in named if f"audio-{item[0]}.npy" not in known]
        tasks = [
            _Task(tuple(left[start : start + SHARE]), out, selection)
            for start in range(0, len(left), SHARE)
        ]
        for done in in_processes(prepare, tasks, processes, str(folder)):
            append_lines(out / TRAIN, done.lines)
            refusals.add(done.refused)
    count = len(read_table(out / TRAIN)) if (out / TRAIN).is_file() else 0
    if not count:
        raise DataError(f"{folder} gave no utterance; {out / REFUSED} says why.")
    return count


def choose(utterances: list[Utterance], selection: Selection) -> list[Utterance]:
    """Those of known duration within its bounds, those of unknown one, and of them the draw."""
    low, high = selection.shortest, selection.longest
    fitting = [
        item for item in utterances if not item.durations or low <= sum(item.durations) <= high
    ]
    order = np.random.default_rng(selection.seed).permutation(len(fitting))
    return [fitting[place] for place in sorted(order[: selection.most or None])]


def _named(utterances: list[Utterance], sources: Path) -> list[tuple[str, Utterance]]:
    """Utterances, each with what its files are called behind their first word.

    Args:
        utterances: of a corpus.
        sources: table of the recordings that have names; those that get one now are added.
    """
    owners = dict(reversed(line.split("\t", 1)) for line in whole_lines(sources) if "\t" in line)
    names = {name: path for path, name in owners.items()}
    found, new = [], []
    for utterance in utterances:
        path = str(utterance.path.resolve())
        usual = f"{utterance.path.parent.name}_{utterance.path.stem}"
        name, number = owners.get(path, usual), 1
        while path not in owners and name in names:
            number += 1
            name = f"{usual}-{number}"
        if path not in owners:
            owners[path], names[name] = name, path
            new.append(f"{name}\t{path}")
        found.append((name, utterance))
    append_lines(sources, new)
    return found


def prepare(task: _Task) -> Prepared:
    """Write utterances."""
    done = Prepared([], [])
    tokenizer = SymbolTokenizer(PHONEME_SYMBOLS)
    for name, utterance in task.utterances:
        try:
            done.lines.append(_write(name, utterance, task, tokenizer))
        except UnreadableError:
            raise
        except (AudioError, TextError) as error:
            done.refused.append(f"{utterance.path}\t{error}")
    return done


def _write(name: str, utterance: Utterance, task: _Task, tokenizer: SymbolTokenizer) -> str:
    chosen = task.selection
    # Durations tell where the speech is; of others the detector is asked, where it is installed.
    trim = not utterance.timed_phonemes
    hparams = {
        **HPARAMS,
        "trim_silence": trim,
        "utterance_min_duration": chosen.shortest,
        "max_mel_frames": int(chosen.longest * FRAMES_A_SECOND),
    }
    wave, _ = read_audio(utterance.path, hparams["sample_rate"])
    peak = np.abs(wave).max()
    if not peak:
        raise AudioError("it is silent.")
    wave = wave / peak * np.float32(hparams["rescaling_max"])
    text, spelt = utterance.text, bool(utterance.phonemes) and not chosen.letters
    if spelt:
        text = words_apart(f"[{''.join(utterance.phonemes)}]")
    ids = tokenizer.encode(text)
    speaker = Speaker(Path(), task.out, hparams, aligned=False, known=frozenset())
    line = write_utterance(speaker, name, wave, text)
    if spelt and utterance.timed_phonemes and len(ids) == len(utterance.durations) + 1:
        frames = [seconds * FRAMES_A_SECOND for seconds in utterance.durations]
        save_array(task.out / "durations" / f"duration-{name}.npy", np.array([*frames, END_FRAMES]))
    return line
