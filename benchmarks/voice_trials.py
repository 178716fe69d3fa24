"""Do the settings of speaking suit a model that reads? Guards, lengths, speed, pieces, streams.

    python benchmarks/voice_trials.py [--preset PRESET] [--recordings path/to/audio]

Sentences that no corpus holds are spoken with one setting changed at a time, in the voices that
the preset ships (or of the recordings), and Whisper tiny.en hears them:

* ``guards``: at temperatures where speech is good and where it falls apart. How often each flag
  is raised for speech with at most a fifth of the words wrong (an alarm for nothing), and for
  speech with at least half of them wrong (a fault that is found);
* ``lengths``: of the good speech the seconds a character, which two settings bound;
* ``speed``: words wrong and length at ``--speed`` 0.7 to 1.5;
* ``pieces``: paragraphs of sentences, split into pieces of at most so many characters;
* ``streams``: whether what a stream gives is the whole speech, sample by sample.

One JSON line, and a table of each on stderr.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from tqdm import tqdm

from benchmarks.measuring import ROOT, report, taken
from benchmarks.voice_material import read_sentences, real_voices, spread
from benchmarks.voice_sides import words_heard
from benchmarks.voice_tables import error_rate
from myxtts.errors import DataError
from myxtts.flags import make_parser, run
from myxtts.generation.driver import FLAGS
from myxtts.inference.synthesizer import Synthesizer
from myxtts.inference.voice import Voice
from myxtts.models.xtts import XTTS
from myxtts.presets.finding import add_preset_flag, find_preset
from myxtts.presets.voices import preset_voices
from myxtts.timing import OUTPUT_RATE

HELD_OUT = ROOT / "tools" / "voice_corpus" / "held_out.txt"
TEMPERATURES = (0.4, 0.75, 1.5, 2.5)
SPEEDS = (0.7, 0.85, 1.0, 1.2, 1.5)
LIMITS = (45, 60, 75, 90, 250)
PARAGRAPH = 8  # sentences
GOOD, BAD = 0.2, 0.5
COUNTED = (*FLAGS, "any")


def main(args: argparse.Namespace) -> None:
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    trials = Trials(args)
    wanted = args.only or list(TRIALS)
    found = {name: TRIALS[name](trials) for name in wanted}
    for name in wanted:
        print(f"{name}:", *map(_line, found[name]), sep="\n", file=sys.stderr)
    report({"preset": str(args.preset), **found, **taken()})


class Trials:
    """Speaks and listens."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.model = XTTS.from_preset(find_preset(args.preset))
        self.settings = dataclasses.replace(self.model.config.synthesis, candidates=1)
        sentences = read_sentences(HELD_OUT)
        self.texts = [one.text for one in spread(sentences, args.sentences)]
        speaker = self.speaker()
        if args.recordings:
            kept = real_voices(args.recordings)
            self.voices = [speaker.condition([one.reference]) for one in kept]
        else:
            kept = preset_voices(self.model.preset)
            self.voices = [speaker.voice(one.name) for one in kept]
        if not self.voices:
            raise DataError("the preset has no voices of its own: name --recordings.")

    def speaker(self, **changes: Any) -> Synthesizer:
        """The model, speaking with some settings changed."""
        return Synthesizer(self.model, dataclasses.replace(self.settings, **changes))

    def said(self, speaker: Synthesizer, texts: Sequence[str], told: str) -> list[dict]:
        """Every text in one of the voices, in rotation."""
        rows = []
        for number, text in enumerate(tqdm(texts, told, disable=None)):
            rows.append(self.heard(speaker, text, self.voices[number % len(self.voices)]))
        return rows

    @staticmethod
    def heard(speaker: Synthesizer, text: str, voice: Voice) -> dict:
        """A text spoken and transcribed."""
        spoken = speaker.speak(text, voice)
        return {
            **words_heard(text, spoken.waveform, OUTPUT_RATE),
            "seconds": len(spoken.waveform) / OUTPUT_RATE,
            "characters": len(text),
            "pieces": len(spoken.flags),
            "flags": sorted({flag for flags in spoken.flags for flag in flags}),
        }


def guards(trials: Trials) -> list[dict]:
    """How often flags are raised, for good speech and for bad, at each temperature."""
    rows = []
    for temperature in TEMPERATURES:
        loose = {"top_k": 0, "top_p": 1.0} if temperature > 1 else {}
        speaker = trials.speaker(temperature=temperature, retries=0, **loose)
        rows += trials.said(speaker, trials.texts, f"temperature {temperature}")
    good = [row for row in rows if row["errors"] <= GOOD * row["words"]]
    bad = [row for row in rows if row["errors"] >= BAD * row["words"]]
    return [
        {"speech": name, "clips": len(part)}
        | {flag: _share(part, flag) for flag in (*FLAGS, "any")}
        for name, part in {"good": good, "bad": bad}.items()
    ]


def lengths(trials: Trials) -> list[dict]:
    """Seconds a character of good speech: least, hundredth parts, most."""
    rows = trials.said(trials.speaker(), trials.texts, "lengths")
    rates = [r["seconds"] / r["characters"] for r in rows if r["errors"] <= GOOD * r["words"]]
    parts = {"least": 0, "5 %": 5, "median": 50, "95 %": 95, "most": 100}
    bounds = {
        "least allowed": trials.settings.min_seconds_per_character,
        "most allowed, beside two seconds": trials.settings.seconds_per_character,
    }
    found = {name: round(float(np.percentile(rates, part)), 3) for name, part in parts.items()}
    return [{"clips": len(rates)} | found | bounds]


def speed(trials: Trials) -> list[dict]:
    """Words wrong, and length beside that at speed 1."""
    rows = {
        value: trials.said(trials.speaker(speed=value), trials.texts, f"speed {value}")
        for value in SPEEDS
    }
    natural = sum(row["seconds"] for row in rows[1.0])
    return [
        {
            "speed": value,
            "wer": error_rate(said),
            "times as long": round(sum(row["seconds"] for row in said) / natural, 3),
            "flagged": _share(said, "any"),
        }
        for value, said in rows.items()
    ]


def pieces(trials: Trials) -> list[dict]:
    """Words wrong of paragraphs that are split at different lengths."""
    count = len(trials.texts) // PARAGRAPH
    parts = [trials.texts[n * PARAGRAPH : (n + 1) * PARAGRAPH] for n in range(count)]
    texts = [" ".join(part) for part in parts]
    found = []
    for limit in LIMITS:
        said = trials.said(trials.speaker(max_characters=limit), texts, f"{limit} characters")
        found.append(
            {
                "characters": limit,
                "wer": error_rate(said),
                "pieces": sum(row["pieces"] for row in said),
                "seconds": round(sum(row["seconds"] for row in said), 1),
                "flagged": _share(said, "any"),
            }
        )
    return found


def streams(trials: Trials) -> list[dict]:
    """Largest difference between a stream's chunks, joined, and the whole speech."""
    speaker = trials.speaker(retries=0)
    text, voice = " ".join(trials.texts[:PARAGRAPH]), trials.voices[0]
    whole = speaker.speak(text, voice).waveform
    chunks = list(speaker.stream(text, voice))
    joined = np.concatenate(chunks)
    same = len(joined) == len(whole)
    difference = float(np.abs(joined - whole).max()) if same else None
    return [{"chunks": len(chunks), "same length": same, "largest difference": difference}]


TRIALS = {each.__name__: each for each in (guards, lengths, speed, pieces, streams)}


def _share(rows: Sequence[dict], flag: str) -> float | None:
    if not rows:
        return None
    raised = [bool(row["flags"]) if flag == "any" else flag in row["flags"] for row in rows]
    return round(sum(raised) / len(rows), 3)


def _line(row: dict) -> str:
    return "  " + ", ".join(f"{name} {value}" for name, value in row.items())


def parser() -> argparse.ArgumentParser:
    parser = make_parser("voice_trials.py", __doc__)
    add_preset_flag(parser)
    parser.add_argument("--recordings", help="folder with a folder of recordings of each speaker")
    parser.add_argument("--sentences", type=int, default=64, help="how many are spoken each time")
    parser.add_argument("--only", nargs="*", choices=TRIALS, help="these trials alone")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
