"""Does a preset read what it has never seen, in the voice of somebody it has just heard?

Unseen sentences are spoken in unseen voices: real speakers of a folder of recordings, and
Kokoro's voices that no corpus holds. Judges that have no part in the speech hear it: Whisper
tiny.en (words), ECAPA-TDNN (whose voice is nearest), DNSMOS (quality). Beside it in the same
run: hibari-tts, Kokoro and recordings.

    python benchmarks/voice.py --preset base --recordings path/to/audio \\
        --transcribed path/to/libritts
    python benchmarks/voice.py --preset runs/xtts --recordings path/to/audio --quick

A sentence is spoken in three of the voices, in rotation (`--each`), so that real and synthetic
ones share it; `--quick` is 40 sentences in one each of three voices, without the anchors.
Wants the judges of `make reference` and, for hibari-tts, requirements-voice.txt. Each clip is
kept with its judgement in the output folder: a broken run goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tqdm import tqdm

from benchmarks import voice_tables as tables
from benchmarks.measuring import ROOT, kept_rows, report, taken
from benchmarks.voice_material import (
    KOKORO,
    ReferenceVoice,
    Sentence,
    digest,
    kokoro_recordings,
    kokoro_references,
    pairs,
    read_sentences,
    real_voices,
    spread,
)
from benchmarks.voice_sides import Hibari, Judges, Kokoro, Ours, Spoken, embedding, quality, speeds
from myxtts.audio.io import read_audio, write_audio
from myxtts.config import SynthesisConfig, XTTSConfig
from myxtts.data.formats import Utterance, find_utterances
from myxtts.files import write_whole
from myxtts.flags import add_config_flags, config_from_flags, make_parser, run
from myxtts.presets.finding import add_preset_flag, find_preset
from myxtts.presets.folder import CONFIG
from myxtts.timing import OUTPUT_RATE

logger = logging.getLogger(__name__)

HELD_OUT = ROOT / "tools" / "voice_corpus" / "held_out.txt"
ANCHORS = ("hibari", "kokoro", "recordings")
QUICK = {"sentences": 40, "voices": 3, "each": 1, "anchors": []}
# Recordings that are judged as the model's speech is, of each speaker and of a corpus.
OTHERS, TRANSCRIBED = 3, 60
TIMED = 8  # sentences
STOCK_TEXT = "The museum by the river has been closed for the winter, as it is every year."


def main(args: argparse.Namespace) -> None:
    for name, value in QUICK.items() if args.quick else ():
        setattr(args, name, value)
    # Of every clip the length.
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    bench = Bench(args)
    result = bench.result()
    write_whole(bench.folder / "result.json", json.dumps(result, indent=1) + "\n")
    if args.json:
        report(result)
    else:
        print(bench.told(result))


class Bench:
    """Speaks, judges, and keeps what is done."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.preset = find_preset(args.preset)
        stored = XTTSConfig.from_yaml(self.preset / CONFIG)
        self.settings: SynthesisConfig = config_from_flags(args, stored).synthesis
        every = read_sentences(args.sentence_file)
        self.sentences = spread(every, args.sentences)
        self.rows: list[dict] = []
        output = Path(args.output)
        self.voices = self._real() + self._synthetic(output / "references")
        self.kinds = {voice.name: voice.kind for voice in self.voices}
        self.chosen = spread(self.voices, args.voices)
        # Whatever changes what is said or how it is judged has a folder of its own.
        material = digest(every, [(v.name, v.reference.name) for v in self.voices])
        self.anchors = output / f"anchors-{material}"
        spoken = digest(material, self.ours.synthesizer.model.fingerprint, self.settings)
        self.folder = output / f"spoken-{spoken}"
        logger.info("clips and judgements: %s", self.folder)

    def result(self) -> dict[str, Any]:
        """All figures, from clips that are there already and those that are still to be made."""
        rows = {"ours": self._ours()}
        self.rows = rows["ours"]
        wanted = {"hibari": self._hibari, "kokoro": self._kokoro, "recordings": self._recordings}
        rows |= {name: wanted[name]() for name in self.args.anchors}
        stock = self._stock() if "kokoro" in self.args.anchors else {}
        found = tables.summary(rows, self.kinds, self._speed(), stock)
        return {
            "preset": str(self.args.preset or self.preset),
            "fingerprint": self.ours.synthesizer.model.fingerprint,
            "vocoder": self.ours.synthesizer.vocoder,
            "settings": dataclasses.asdict(self.settings),
            "sentences": len(self.sentences),
            "voices": [voice.name for voice in self.chosen],
            "references": len(self.voices),
            "each": min(self.args.each, len(self.chosen)),
            "figures": found,
            "gates": tables.judged(found["ours"]),
        }

    def told(self, result: dict[str, Any]) -> str:
        """What goes to docs/results.md, and the sentences that went wrong."""
        found, setting = result["figures"], self.settings
        words = " ".join(sys.argv[1:])
        each = result["each"]
        place = taken()
        parts = [
            f"{result['sentences']} unseen sentences, each in {each} of {len(self.chosen)} unseen "
            f"voices in rotation: {found['ours']['clips']} clips, temperature "
            f"{setting.temperature:g}, vocoder {result['vocoder']}.",
            tables.gate_table(found, len(self.voices)),
            tables.PUBLISHED,
            tables.kind_table(found),
            tables.voice_table(self.rows, self.kinds),
            f"*Taken:* {place['processor']}; {place['date']}; commit `{place['commit']}`;\n"
            f"`python benchmarks/voice.py {words}`",
            f"The worst:\n\n{tables.worst(self.rows, self.args.worst)}",
        ]
        return "\n\n".join(parts)

    @functools.cached_property
    def ours(self) -> Ours:
        return Ours(self.preset, self.settings)

    @functools.cached_property
    def kokoro(self) -> Kokoro:
        return Kokoro(self.args.kokoro_voices)

    @functools.cached_property
    def judges(self) -> Judges:
        return Judges(self.voices)

    def _real(self) -> list[ReferenceVoice]:
        return real_voices(self.args.recordings) if self.args.recordings else []

    def _synthetic(self, folder: Path) -> list[ReferenceVoice]:
        if self.args.kokoro_recordings:
            return kokoro_recordings(self.args.kokoro_recordings)
        return kokoro_references(folder, lambda text, name: self.kokoro.speak(text, name).waveform)

    def _ours(self) -> list[dict]:
        work = pairs(self.sentences, self.chosen, self.args.each)
        jobs = [(f"{s.number:03d}-{v.name}", s, v) for s, v in work]
        if any(not (self.folder / f"{name}.json").is_file() for name, _, _ in jobs):
            self.ours.warm_up(self.chosen[0])

        def speak(sentence: Sentence, voice: ReferenceVoice, path: Path) -> dict:
            spoken = self.ours.speak(sentence, voice)
            return self._judged(sentence, spoken, path) | {"voice": voice.name}

        return kept_rows(self.folder, "ours", jobs, speak)

    def _hibari(self) -> list[dict]:
        jobs = [(f"hibari-{s.number:03d}", s) for s in self.sentences]

        def speak(sentence: Sentence, path: Path) -> dict:
            return self._judged(sentence, self.hibari.speak(sentence), path, alike=False)

        return kept_rows(self.anchors, "hibari", jobs, speak)

    @functools.cached_property
    def hibari(self) -> Hibari:
        return Hibari()

    def _kokoro(self) -> list[dict]:
        turns = enumerate(self.sentences)
        jobs = [(f"kokoro-{s.number:03d}-{KOKORO[n % 4]}", s, KOKORO[n % 4]) for n, s in turns]

        def speak(sentence: Sentence, name: str, path: Path) -> dict:
            spoken = self.kokoro.speak(sentence.text, name)
            return self._judged(sentence, spoken, path) | {"voice": name}

        return kept_rows(self.anchors, "Kokoro", jobs, speak)

    def _recordings(self) -> list[dict]:
        """Other recordings of the voices, whose words nobody wrote down, and a corpus's."""
        paths = [(v, path) for v in self.voices for path in v.others[:OTHERS]]
        jobs = [(f"recording-{v.name}-{path.stem}", v, path) for v, path in paths]

        def hear(voice: ReferenceVoice, recording: Path, _: Path) -> dict:
            audio, rate = read_audio(recording)
            likeness = self.judges.likeness(audio, rate)
            return likeness | quality(audio, rate) | {"voice": voice.name}

        rows = kept_rows(self.anchors, "recordings", jobs, hear)
        # Kokoro's own speech is not a recording of anybody.
        rows = [row for row in rows if self.kinds[row["voice"]] == "real"]
        return rows + (self._transcribed(self.args.transcribed) if self.args.transcribed else [])

    def _transcribed(self, corpus: str) -> list[dict]:
        chosen = spread(find_utterances(corpus), TRANSCRIBED)
        jobs = [(f"transcribed-{digest(item.text)}-{item.path.stem}", item) for item in chosen]

        def hear(item: Utterance, _: Path) -> dict:
            audio, rate = read_audio(item.path)
            return self.judges.heard(item.text, audio, rate) | {"voice": item.speaker}

        return kept_rows(self.anchors, "corpus", jobs, hear)

    def _stock(self) -> dict[str, list]:
        """For each voice the best of Kokoro's own, by one sentence of each."""
        path = self.anchors / "stock.json"
        if not path.is_file():
            speech = {}
            for name in tqdm(self.kokoro.names, desc="stock voices", delay=2, disable=None):
                clip = self.anchors / f"stock-{name}.flac"
                if not clip.is_file():
                    write_audio(clip, self.kokoro.speak(STOCK_TEXT, name).waveform, OUTPUT_RATE)
                speech[name] = embedding(clip)
            write_whole(path, json.dumps(self.judges.best_of(speech)))
        return json.loads(path.read_text(encoding="utf-8"))

    def _speed(self) -> dict[str, Any]:
        timed = spread(self.sentences, TIMED)
        path = self.folder / f"speed-{digest(timed, sorted(self.args.anchors))}.json"
        if not path.is_file():
            others: dict[str, Callable[[Sentence], Spoken]] = {}
            if "hibari" in self.args.anchors:
                others["hibari"] = self.hibari.speak
            if "kokoro" in self.args.anchors:
                others["kokoro"] = lambda sentence: self.kokoro.speak(sentence.text, KOKORO[0])
            found = speeds(self.ours, others, timed, self.chosen[0])
            write_whole(path, json.dumps({**found, "taken": taken()}))
        return json.loads(path.read_text(encoding="utf-8"))

    def _judged(self, sentence: Sentence, spoken: Spoken, path: Path, alike: bool = True) -> dict:
        """The row of a clip, which is kept beside it."""
        write_audio(path.with_suffix(".flac"), spoken.waveform, OUTPUT_RATE)
        row = {"sentence": sentence.number, "kind": sentence.kind, "text": sentence.text}
        row |= spoken.facts | self.judges.heard(sentence.text, spoken.waveform)
        return row | (self.judges.likeness(spoken.waveform) if alike else {})


def parser() -> argparse.ArgumentParser:
    parser = make_parser("voice.py", __doc__, json=True)
    add_preset_flag(parser, "--run-dir")
    parser.add_argument("--recordings", help="real speakers: a folder with one for each")
    parser.add_argument("--transcribed", metavar="DIR", help="a corpus of recordings, for its WER")
    parser.add_argument("--kokoro-voices", metavar="DIR", help="Kokoro's voices (default: found)")
    parser.add_argument(
        "--kokoro-recordings", metavar="DIR", help="of these voices, instead of having Kokoro speak"
    )
    parser.add_argument("--sentence-file", default=HELD_OUT, help="one sentence a line")
    parser.add_argument("--sentences", type=int, default=0, help="of the file, evenly spread")
    parser.add_argument("--voices", type=int, default=0, help="to speak in, evenly spread")
    parser.add_argument("--each", type=int, default=3, help="voices of a sentence (default: 3)")
    parser.add_argument("--quick", action="store_true", help="40 clips, no anchors")
    parser.add_argument("--anchors", nargs="*", choices=ANCHORS, default=list(ANCHORS))
    parser.add_argument("--worst", type=int, default=15, help="clips to show (default: 15)")
    parser.add_argument("--output", default="outputs/voice", help="folder of what is kept")
    add_config_flags(parser, XTTSConfig, ("synthesis",))
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
