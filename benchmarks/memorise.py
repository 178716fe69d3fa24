"""Memorising proof: are text, codes, conditioning and decoding truly joined?

Trains the ``tiny`` preset on about twenty utterances of two speakers of a
LibriTTS-style corpus, then speaks the same sentences from a *different* clip of
the same speaker by plain sampling, and judges the result:

* word error rate by Whisper tiny.en, beside the ceiling (the same clips through
  the DVAE and Griffin-Lim) and the recordings themselves;
* Resemblyzer similarity to the own speaker and to the other one.

    python benchmarks/memorise.py --corpus path/to/libritts --output outputs/memorise
    python benchmarks/memorise.py --corpus path/to/libritts --output outputs/memorise_pretrained \
        --use-pretrained-speaker-encoder --speaker-encoder-type resemblyzer

The judges come with ``pip install -r requirements-reference.txt``.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.audio.io import read_audio, write_audio  # noqa: E402
from myxtts.config import XTTSConfig  # noqa: E402
from myxtts.data.formats import Utterance, find_utterances  # noqa: E402
from myxtts.errors import DataError  # noqa: E402
from myxtts.flags import add_config_flags, config_from_flags, run  # noqa: E402
from myxtts.generation.vocoding import waveform_round_trip  # noqa: E402
from myxtts.inference.synthesizer import Synthesizer  # noqa: E402
from myxtts.models.xtts import XTTS  # noqa: E402
from myxtts.training.run import train  # noqa: E402
from tools import judges  # noqa: E402

JUDGE_RATE = 16_000


@dataclass(frozen=True)
class Row:
    """Judgement of one spoken sentence."""

    speaker: str
    text: str
    heard: str
    errors: float
    ceiling_errors: float
    recording_errors: float
    own_similarity: float
    other_similarity: float
    seconds: float


def main(args: argparse.Namespace) -> None:
    output = Path(args.output)
    chosen, references = choose(
        args.corpus, args.speakers, args.utterances, args.shortest, args.longest
    )
    corpus = write_corpus(chosen, output / "corpus")
    config = config_from_flags(args, XTTSConfig.preset("tiny")).merged(
        {
            "data": {"train_data": str(corpus), "val_data": str(corpus)},
            "training": {"output_dir": str(output / "run")},
        }
    )
    started = time.monotonic()
    if not args.judge_only:
        train(config)
    minutes = (time.monotonic() - started) / 60
    model = XTTS.from_preset(output / "run" / "preset")
    rows = judge(model, config, chosen, references, output / "spoken")
    report(rows, minutes, output, config)


def choose(
    corpus: str, num_speakers: int, num_utterances: int, shortest: float, longest: float
) -> tuple[list[Utterance], dict[str, Utterance]]:
    """Pick utterances of a few speakers, and one further clip of each as its reference."""
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in sorted(find_utterances(corpus), key=lambda item: str(item.path)):
        if shortest <= soundfile.info(str(utterance.path)).duration <= longest:
            by_speaker.setdefault(utterance.speaker, []).append(utterance)
    each = num_utterances // num_speakers
    fit = {name: items for name, items in sorted(by_speaker.items()) if len(items) > each}
    if len(fit) < num_speakers:
        raise DataError(f"{corpus} has fewer than {num_speakers} speakers with {each + 1} clips.")
    names = list(fit)[:num_speakers]
    chosen = [utterance for name in names for utterance in fit[name][:each]]
    return chosen, {name: fit[name][each] for name in names}


def write_corpus(utterances: list[Utterance], folder: Path) -> Path:
    """Write the chosen utterances as a ``metadata.jsonl`` corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for utterance in utterances:
        name = f"{Path(utterance.path).stem}.flac"
        audio, rate = read_audio(utterance.path)
        write_audio(folder / name, audio, rate)
        lines.append({"file_name": name, "text": utterance.text, "speaker": utterance.speaker})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return folder


def judge(
    model: XTTS,
    config: XTTSConfig,
    utterances: list[Utterance],
    references: dict[str, Utterance],
    folder: Path,
) -> list[Row]:
    """Speak and judge every utterance."""
    folder.mkdir(parents=True, exist_ok=True)
    synthesizer = Synthesizer(model, config.synthesis)
    voices = {name: synthesizer.condition([item.path]) for name, item in references.items()}
    recordings = {name: read_audio(item.path, JUDGE_RATE)[0] for name, item in references.items()}
    rows = []
    for utterance in utterances:
        spoken = synthesizer.speak(utterance.text, voices[utterance.speaker])
        write_audio(
            folder / f"{Path(utterance.path).stem}.wav", spoken.waveform, spoken.sample_rate
        )
        rows.append(judge_one(model, utterance, spoken, recordings))
        logging.info("%s  WER %.2f  %r", utterance.speaker, rows[-1].errors, rows[-1].heard)
    return rows


def judge_one(model: XTTS, utterance: Utterance, spoken, recordings: dict) -> Row:
    """Judge one spoken utterance beside its ceiling and its recording."""
    audio, rate = read_audio(utterance.path, 22_050)
    ceiling = waveform_round_trip(model, audio)
    similarities = {
        name: judges.similarity((spoken.waveform, spoken.sample_rate), (clip, JUDGE_RATE))
        for name, clip in recordings.items()
    }
    own = similarities.pop(utterance.speaker)
    heard = judges.transcribe(spoken.waveform, spoken.sample_rate)
    return Row(
        speaker=utterance.speaker,
        text=utterance.text,
        heard=heard,
        errors=judges.word_error_rate(utterance.text, heard),
        ceiling_errors=judges.word_error_rate(
            utterance.text, judges.transcribe(ceiling, spoken.sample_rate)
        ),
        recording_errors=judges.word_error_rate(utterance.text, judges.transcribe(audio, rate)),
        own_similarity=own,
        other_similarity=max(similarities.values()),
        seconds=spoken.duration,
    )


def report(rows: list[Row], minutes: float, output: Path, config: XTTSConfig) -> None:
    """Print the result as one JSON line and keep every row."""
    words = np.array([len(row.text.split()) for row in rows], float)

    def corpus_rate(field: str) -> float:
        rates = np.array([getattr(row, field) for row in rows])
        return round(float((rates * words).sum() / words.sum()), 4)

    model = config.model
    summary = {
        "encoder": model.speaker_encoder_type
        if model.use_pretrained_speaker_encoder
        else "original",
        "utterances": len(rows),
        "training_minutes": round(minutes, 1),
        "wer": corpus_rate("errors"),
        "ceiling_wer": corpus_rate("ceiling_errors"),
        "recording_wer": corpus_rate("recording_errors"),
        "own_above_other": sum(row.own_similarity > row.other_similarity for row in rows),
        "mean_own_similarity": round(float(np.mean([row.own_similarity for row in rows])), 3),
        "mean_other_similarity": round(float(np.mean([row.other_similarity for row in rows])), 3),
    }
    details = {"summary": summary, "rows": [vars(row) for row in rows]}
    (output / "memorise.json").write_text(json.dumps(details, indent=2), encoding="utf-8")
    print(json.dumps(summary))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="memorise.py", description=__doc__.split("\n\n")[0], allow_abbrev=False
    )
    parser.add_argument("--corpus", required=True, help="LibriTTS-style folder")
    parser.add_argument("--output", default="outputs/memorise", help="folder of all results")
    parser.add_argument("--speakers", type=int, default=2)
    parser.add_argument("--utterances", type=int, default=20, help="over all speakers")
    parser.add_argument("--shortest", type=float, default=2.0, help="seconds")
    parser.add_argument("--longest", type=float, default=6.0, help="seconds")
    parser.add_argument("--judge-only", action="store_true", help="judge an earlier training")
    add_config_flags(parser, XTTSConfig, ("model", "training"))
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
