"""Training in one go: train ``tiny`` on the shipped corpus, then speak.

    python tools/demo_train.py --output outputs/demo_train

Leaves ``demo.wav``, ``mel.png`` (the speech beside its reference) and ``report.txt``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.io import read_audio, resample, write_audio
from myxtts.audio.mel import MelSpectrogram
from myxtts.config import XTTSConfig
from myxtts.data.formats import Utterance, find_utterances
from myxtts.flags import add_config_flags, config_from_flags, make_parser, refuse_idle, run
from myxtts.plots import new_figure, save_figure, show_matrix
from myxtts.training.logs import read_history

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "examples" / "demo_corpus"


def parser() -> argparse.ArgumentParser:
    parser = make_parser("demo_train.py", "Train the tiny preset on the demo corpus and speak.")
    parser.add_argument("--output", default="outputs/demo_train", help="folder of everything made")
    add_config_flags(parser, XTTSConfig, ("training",))
    return parser


def main(args: argparse.Namespace) -> None:
    """Train, speak, draw and report."""
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.models.xtts import XTTS
    from myxtts.training.run import train

    refuse_idle(args, {"training.output_dir": "is for train_main.py; here it is --output."})
    output = Path(args.output)
    config = config_from_flags(args, XTTSConfig.preset("tiny")).merged(
        {
            # Learning by heart is the aim, so the corpus itself says how far it has come.
            "data": {"train_data": str(CORPUS / "train"), "val_data": str(CORPUS / "train")},
            "training": {"output_dir": str(output / "run")},
        }
    )
    started = time.monotonic()
    result = train(config)
    minutes = (time.monotonic() - started) / 60
    sentence, reference = choose()
    synthesizer = Synthesizer(XTTS.from_preset(result.preset))
    before = time.monotonic()
    spoken = synthesizer.speak(sentence.text, synthesizer.condition([reference.path]))
    rtf = (time.monotonic() - before) / spoken.duration
    write_audio(output / "demo.wav", spoken.waveform, spoken.sample_rate)
    draw(output / "mel.png", sentence, spoken)
    text = report(result, minutes, sentence, reference, spoken, rtf)
    (output / "report.txt").write_text(text, encoding="utf-8")
    print(text, file=sys.stderr)
    print(output / "demo.wav")


def choose() -> tuple[Utterance, Utterance]:
    """A sentence to say, and a clip of its speaker that was not trained on."""
    sentence = find_utterances(CORPUS / "train")[0]
    unseen = find_utterances(CORPUS / "val")
    return sentence, next(item for item in unseen if item.speaker == sentence.speaker)


def draw(path: Path, sentence: Utterance, spoken) -> None:
    """Mel of the speech above the mel of the recording of the same sentence."""
    rate = XTTS_DVAE.sample_rate
    clips = {
        "spoken by the model": resample(spoken.waveform, spoken.sample_rate, rate),
        "the recording of this sentence": read_audio(sentence.path, rate)[0],
    }
    figure, rows = new_figure(2, 1, (10, 6))
    for axes, (title, clip) in zip(rows, clips.items(), strict=True):
        mel = np.asarray(MelSpectrogram(XTTS_DVAE)(clip[None])[0])
        show_matrix(axes, mel, len(clip) / rate)
        axes.set(title=title, xlabel="seconds", ylabel="mel channel")
    figure.suptitle(sentence.text)
    save_figure(figure, path)


def report(result, minutes: float, sentence, reference, spoken, rtf: float) -> str:
    """One page of what was done and what came of it."""
    history = read_history(result.preset.parent)
    lines = [
        "MyXTTS demo of training",
        "=======================",
        f"corpus       {CORPUS.relative_to(ROOT)} (Kokoro-82M voices; see its README)",
        f"training     {minutes:.1f} minutes, steps {result.steps}",
    ]
    for stage in result.steps:
        losses = [
            record["loss"]
            for record in history
            if record["stage"] == stage and record["kind"] == "validation"
        ]
        lines.append(f"  {stage:<9}  validation loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    lines += [
        f"text         {sentence.text}",
        f"voice        {reference.speaker}, from {reference.path.name} (not trained on)",
        f"speech       {spoken.duration:.2f} s through {spoken.vocoder}, RTF {rtf:.2f} "
        "(building the graph included)",
        "",
        "The model has learned these few sentences by heart, on a processor, in minutes:",
        "it shows that text, codes, conditioning and decoding are joined, not that it",
        "can say anything else. Train on hours of speech for that.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
