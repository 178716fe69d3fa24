"""Does SV2TTS say what it has never seen, in the voice of somebody it has just heard?

Unseen sentences are spoken in the voices of real speakers, of whom it hears one recording. Judges
that have no part in the speech hear it: Whisper tiny.en (words), ECAPA-TDNN (whose voice is
nearest), DNSMOS (quality); the speaker encoder's own cosine stands beside, and is in the path.
Each vocoder also says other recordings of the voices from their own mels, which is the most that a
synthesizer could reach with it.

    python benchmarks/sv2tts.py --encoder encoder.pt --synthesizer saved_models/my_synthesizer \\
        --recordings path/to/audio --vocoders griffin_lim saved_models/my_vocoder

Wants the judges of `make reference`, and hibari-tts where the synthesizer reads phonemes. Clips,
judgements and pictures of the attention are kept in the output folder; a broken run goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.measuring import ROOT, kept_rows, report, taken
from benchmarks.voice_material import (
    ReferenceVoice,
    Sentence,
    digest,
    pairs,
    read_sentences,
    real_voices,
    spread,
)
from benchmarks.voice_sides import Judges, quality, rounded
from benchmarks.voice_tables import error_rate, is_nearest, worst
from myxtts.audio.analysis import mel_of
from myxtts.audio.frontends import RTVC_SYNTHESIZER
from myxtts.audio.io import read_audio, write_audio
from myxtts.files import write_whole
from myxtts.flags import make_parser, run
from myxtts.generation.vocoders import GRIFFIN_LIM, Vocoder, open_vocoder
from myxtts.inference.sv2tts import VoiceCloner
from myxtts.plots import new_figure, save_figure, show_matrix

HELD_OUT = ROOT / "tools" / "voice_corpus" / "held_out.txt"
# Recordings of each voice that are said again from their own mels, and the attentions drawn.
COPIES, PICTURES = 2, 6
# Columns of the table: title, key, whether in per cent.
FIGURES = (
    ("clips", "clips", False),
    ("WER, %", "wer", True),
    ("nearest of the voices, %", "nearest", True),
    ("ECAPA cosine", "ecapa", False),
    ("Resemblyzer cosine", "resemblyzer", False),
    ("DNSMOS", "dnsmos", False),
    ("seconds a clip", "seconds", False),
    ("flagged, %", "flagged", True),
    ("RTF", "rtf", False),
)


class Bench:
    """Speaks, judges, and keeps what is done."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.cloner = VoiceCloner.open(args.encoder, args.synthesizer, dropout=args.dropout)
        self.vocoders: dict[str, Vocoder] = {
            name: open_vocoder(name, weights=args.vocoder_weights) for name in args.vocoders
        }
        self.sentences = spread(read_sentences(args.sentence_file), args.sentences)
        self.voices = real_voices(args.recordings, args.voices)
        self.judges = Judges(self.voices)
        self.embeddings = {v.name: self.cloner.embed(v.reference) for v in self.voices}
        model = self.cloner.synthesizer.model
        total = [float(np.sum(np.abs(item))) for item in model.variables_by_name().values()]
        names = [voice.reference.name for voice in self.voices]
        told = (total, model.r, names, self.sentences, self.cloner.synthesizer.dropout)
        self.folder = Path(args.output) / digest(*told)

    def result(self) -> dict[str, Any]:
        """Figures and rows, by vocoder, of speech and of copies of recordings."""
        rows: dict[str, list[dict]] = {}
        for name, vocoder in self.vocoders.items():
            self.cloner.vocoder = vocoder
            rows[name] = self._spoken(name)
            rows[f"{name}, recordings' own mels"] = self._copies(name)
        return {
            "sentences": len(self.sentences),
            "voices": [voice.name for voice in self.voices],
            "step": self.cloner.synthesizer.model.step,
            "figures": {name: figures(own) for name, own in rows.items() if own},
            "rows": rows,
        }

    def _spoken(self, vocoder: str) -> list[dict]:
        work = pairs(self.sentences, self.voices, self.args.each or len(self.voices))
        jobs = [(f"{s.number:03d}-{v.name}", s, v) for s, v in work]
        return kept_rows(self._place(vocoder), vocoder, jobs, self._speak)

    def _speak(self, sentence: Sentence, voice: ReferenceVoice, path: Path) -> dict:
        started, known = time.process_time(), self.embeddings[voice.name]
        spoken = self.cloner.speak(sentence.text, known, self.args.seed)
        row = {"text": sentence.text, "kind": sentence.kind, "flags": [list(spoken.flags)]}
        row["compute"] = time.process_time() - started
        self._draw(path)
        heard = self.judges.heard(sentence.text, spoken.waveform, spoken.sample_rate)
        return row | heard | self._alike(voice, spoken.waveform, path)

    def _copies(self, vocoder: str) -> list[dict]:
        paths = [(v, path) for v in self.voices for path in v.others[: self.args.copies]]
        jobs = [(f"copy-{v.name}-{path.stem}", v, path) for v, path in paths]
        return kept_rows(self._place(vocoder), vocoder, jobs, self._copy)

    def _copy(self, voice: ReferenceVoice, recording: Path, path: Path) -> dict:
        wave, _ = read_audio(recording, RTVC_SYNTHESIZER.sample_rate)
        started = time.process_time()
        made = self.cloner.vocoder.vocode(mel_of(wave, RTVC_SYNTHESIZER).T, self.args.seed)
        row = {"compute": time.process_time() - started}
        row |= quality(made, self.cloner.sample_rate)
        return row | self._alike(voice, made, path)

    def _alike(self, voice: ReferenceVoice, wave: np.ndarray, path: Path) -> dict:
        rate = self.cloner.sample_rate
        write_audio(path.with_suffix(".flac"), wave, rate)
        found = self.judges.likeness(wave, rate)
        if found:
            own = self.cloner.embed(wave, rate) @ self.embeddings[voice.name]
            found["resemblyzer"] = rounded(own)
        return found | {"voice": voice.name}

    def _draw(self, path: Path) -> None:
        takes = self.cloner.synthesizer.takes[0]
        if len(list(path.parent.glob("*.png"))) >= PICTURES:
            return
        figure, axes = new_figure(2)
        for one, matrix in zip(np.ravel(axes), (takes[0].attention, takes[0].mel), strict=True):
            show_matrix(one, matrix)
        save_figure(figure, path.with_suffix(".png"))

    def _place(self, vocoder: str) -> Path:
        folder = self.folder / Path(vocoder).name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of clips; those that nothing was measured for are left out."""
    alike = [row for row in rows if row.get("cosines")]
    seconds = [row.get("seconds", 0.0) for row in rows]
    found = {
        "clips": len(rows),
        "wer": error_rate([row for row in rows if "errors" in row]),
        "nearest": mean(map(is_nearest, alike)) if alike else None,
        "ecapa": _mean(row["cosines"][row["voice"]] for row in alike),
        "resemblyzer": _mean(row["resemblyzer"] for row in alike),
        "dnsmos": _mean(row["dnsmos"] for row in rows if "dnsmos" in row),
        "seconds": _mean(seconds),
        "flagged": _mean(float(any(row["flags"])) for row in rows if "flags" in row),
        "rtf": rounded(sum(row["compute"] for row in rows) / max(sum(seconds), 1e-9)),
    }
    return {name: value for name, value in found.items() if value is not None}


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return rounded(mean(values)) if values else None


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each vocoder's speech and copies."""
    lines = [["", *(title for title, _, _ in FIGURES)], ["---"] * (len(FIGURES) + 1)]
    for name, own in found.items():
        lines.append([name, *(_cell(own.get(key), percent) for _, key, percent in FIGURES)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: float | None, percent: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not percent:
        return str(value)
    return f"{100 * value:.1f}" if percent else f"{value:.2f}"


def parser() -> argparse.ArgumentParser:
    parser = make_parser("sv2tts.py", __doc__, json=True)
    add = parser.add_argument
    add("--encoder", required=True, help="encoder.pt, a preset or a run folder")
    add("--synthesizer", required=True, help="synthesizer.pt, a preset or a run folder")
    add("--vocoders", nargs="+", default=[GRIFFIN_LIM], help="each one (default: griffin_lim)")
    add("--vocoder-weights", choices=("float32", "int16", "int8"), default="float32")
    add("--recordings", required=True, help="real speakers: a folder with one for each")
    add(
        "--dropout",
        action=argparse.BooleanOptionalAction,
        help="of the synthesizer in speech (default: as it says)",
    )
    add("--sentence-file", default=HELD_OUT, help="one sentence a line")
    add("--sentences", type=int, default=20, help="of the file, evenly spread (default: 20)")
    add("--voices", type=int, default=6, help="to speak in (default: 6)")
    add("--each", type=int, default=0, help="voices of a sentence, in rotation; 0: all")
    add("--copies", type=int, default=COPIES, help="recordings of a voice (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the speech (default: 1)")
    add("--worst", type=int, default=10, help="clips to show (default: 10)")
    add("--output", default="outputs/sv2tts", help="folder of what is kept")
    return parser


def main(args: argparse.Namespace) -> None:
    """Speak and judge; print the table, and the sentences that went wrong."""
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    bench = Bench(args)
    result = bench.result()
    rows = result.pop("rows")
    write_whole(bench.folder / "result.json", json.dumps(result, indent=1) + "\n")
    if args.json:
        report(result)
        return
    place = taken()
    print(table(result["figures"]))
    print(f"\n{place['processor']}; {place['date']}; commit {place['commit']}; {bench.folder}\n")
    for name in args.vocoders:
        print(f"{name}, the worst:\n{worst(rows[name], args.worst)}\n")


if __name__ == "__main__":
    sys.exit(run(main, parser()))
