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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import soundfile

from benchmarks.measuring import report, seconds, taken, write_corpus
from myxtts.audio.io import read_audio, write_audio
from myxtts.config import XTTSConfig
from myxtts.data.formats import Utterance, find_utterances
from myxtts.errors import DataError
from myxtts.files import write_whole
from myxtts.flags import add_config_flags, config_from_flags, make_parser, run
from myxtts.generation.vocoding import waveform_round_trip
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.timing import MODEL_RATE, SPEAKER_RATE
from myxtts.training.run import train
from tools import judges

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    output = Path(args.output)
    chosen, references = choose(args)
    corpus = write_corpus(chosen, output / "corpus")
    config = config_from_flags(args, XTTSConfig.preset("tiny")).merged(
        {
            "data": {"train_data": str(corpus), "val_data": str(corpus)},
            "training": {"output_dir": str(output / "run")},
        }
    )
    minutes = 0.0 if args.judge_only else seconds(train, config) / 60
    trained = XTTS.from_preset(output / "run" / "preset")
    rows = judge(trained, config, chosen, references, output / "spoken")
    model = config.model
    encoder = model.speaker_encoder_type if model.use_pretrained_speaker_encoder else "original"
    summary = {"encoder": encoder, "training_minutes": round(minutes, 1), **summarised(rows)}
    details = {"summary": summary, "rows": rows, "taken": taken()}
    write_whole(output / "memorise.json", json.dumps(details, indent=2))
    report(summary)


def choose(args: argparse.Namespace) -> tuple[list[Utterance], dict[str, Utterance]]:
    """Pick utterances of a few speakers, and one further clip of each as its reference."""
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in sorted(find_utterances(args.corpus), key=lambda item: str(item.path)):
        if args.shortest <= soundfile.info(str(utterance.path)).duration <= args.longest:
            by_speaker.setdefault(utterance.speaker, []).append(utterance)
    each = args.utterances // args.speakers
    fit = {name: items for name, items in sorted(by_speaker.items()) if len(items) > each}
    if len(fit) < args.speakers:
        raise DataError(
            f"{args.corpus} has fewer than {args.speakers} speakers with {each + 1} clips."
        )
    names = list(fit)[: args.speakers]
    chosen = [utterance for name in names for utterance in fit[name][:each]]
    return chosen, {name: fit[name][each] for name in names}


def judge(
    model: XTTS,
    config: XTTSConfig,
    utterances: list[Utterance],
    references: dict[str, Utterance],
    folder: Path,
) -> list[dict]:
    """Speak and judge every utterance."""
    synthesizer = Synthesizer(model, config.synthesis)
    voices = {name: synthesizer.condition([item.path]) for name, item in references.items()}
    recordings = {name: read_audio(item.path, SPEAKER_RATE)[0] for name, item in references.items()}
    rows = []
    for utterance in utterances:
        spoken = synthesizer.speak(utterance.text, voices[utterance.speaker])
        write_audio(
            folder / f"{Path(utterance.path).stem}.wav", spoken.waveform, spoken.sample_rate
        )
        rows.append(judge_one(model, utterance, spoken, recordings))
        logger.info("%s  WER %.2f  %r", utterance.speaker, rows[-1]["errors"], rows[-1]["heard"])
    return rows


def judge_one(model: XTTS, utterance: Utterance, spoken, recordings: dict) -> dict:
    """Judge one spoken utterance beside its ceiling and its recording."""
    audio, rate = read_audio(utterance.path, MODEL_RATE)
    clip = (spoken.waveform, spoken.sample_rate)
    similarities = {
        name: judges.similarity(clip, (recording, SPEAKER_RATE))
        for name, recording in recordings.items()
    }
    heard = {
        "errors": judges.transcribe(*clip),
        "ceiling_errors": judges.transcribe(waveform_round_trip(model, audio), spoken.sample_rate),
        "recording_errors": judges.transcribe(audio, rate),
    }
    return {
        "speaker": utterance.speaker,
        "text": utterance.text,
        "heard": heard["errors"],
        **{name: judges.word_error_rate(utterance.text, text) for name, text in heard.items()},
        "own_similarity": similarities.pop(utterance.speaker),
        "other_similarity": max(similarities.values()),
        "seconds": spoken.duration,
    }


def summarised(rows: list[dict]) -> dict[str, float]:
    """Word error rates over all words, and similarities over all sentences."""
    words = np.array([len(row["text"].split()) for row in rows])

    def corpus_rate(field: str) -> float:
        return round(float(np.average([row[field] for row in rows], weights=words)), 4)

    own, other = (
        np.array([row[f"{whose}_similarity"] for row in rows]) for whose in ("own", "other")
    )
    return {
        "utterances": len(rows),
        "wer": corpus_rate("errors"),
        "ceiling_wer": corpus_rate("ceiling_errors"),
        "recording_wer": corpus_rate("recording_errors"),
        "own_above_other": int(sum(own > other)),
        "mean_own_similarity": round(float(own.mean()), 3),
        "mean_other_similarity": round(float(other.mean()), 3),
    }


def parser() -> argparse.ArgumentParser:
    parser = make_parser("memorise.py", __doc__)
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
