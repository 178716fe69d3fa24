"""The shipped model in one go: five new sentences in the voices of two recordings.

    python tools/demo.py --output outputs/demo

As ``myxtts demo``, but in the voices of recordings of the source tree, and with word error rate
and similarity in ``report.txt`` where the judges of ``make reference`` are installed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.audio.io import read_audio
from myxtts.data.formats import find_utterances
from myxtts.errors import CheckpointError
from myxtts.flags import run
from myxtts.presets.finding import find_preset
from myxtts.programs import demo
from myxtts.programs.demo import Told
from myxtts.timing import MODEL_RATE, OUTPUT_RATE
from tools import judges

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "examples" / "demo_corpus"
SPEAKERS = ("af_bella", "am_fenrir")
CLIPS = 4  # of each speaker: about eight seconds


def parser() -> argparse.ArgumentParser:
    """Flags of ``myxtts demo``."""
    return demo.parser("demo.py")


def main(args: argparse.Namespace) -> None:
    """Speak, draw, judge and report."""
    source = f"{', '.join(SPEAKERS)}, of {CLIPS} clips of {CORPUS.relative_to(ROOT)}"
    preset, output = model_folder(args.preset), Path(args.output)
    demo.perform(preset, output, references(), source, judged)


def judged(told: Sequence[Told]) -> list[str]:
    """Lines of the report on how well it was said."""
    return [*words(told), *likeness(told)]


def model_folder(name: str | None) -> Path:
    """Folder of the model that is to speak.

    Raises:
        CheckpointError: there is none; of the shipped one the sentence names another demo.
    """
    try:
        return find_preset(name)
    except CheckpointError as error:
        if name is not None:
            raise
        told = str(error).rstrip(".")
        raise CheckpointError(f"{told}; `make demo-train` shows a small training.") from error


def references() -> dict[str, np.ndarray]:
    """What the model hears of each voice: some of its clips, joined."""
    clips: dict[str, list[np.ndarray]] = {name: [] for name in SPEAKERS}
    for utterance in find_utterances(CORPUS / "train"):
        if len(clips.get(utterance.speaker, range(CLIPS))) < CLIPS:
            clips[utterance.speaker].append(read_audio(utterance.path, MODEL_RATE)[0])
    return {name: np.concatenate(found) for name, found in clips.items()}


def words(told: Sequence[Told]) -> list[str]:
    """Word error rate of all that was said, by Whisper tiny.en."""
    if lacking := judges.missing(judges.OF_WORDS):
        return [f"WER          not measured: {lacking[0]} is not installed (`make reference`)"]
    errors = count = 0
    for voice in told:
        voice.heard = [judges.transcribe(spoken.waveform, OUTPUT_RATE) for spoken in voice.spoken]
        for text, heard in zip(demo.SENTENCES, voice.heard, strict=True):
            wrong, size = judges.word_errors(text, heard)
            errors, count = errors + wrong, count + size
    return [f"WER          {100 * errors / count:.1f} % of {count} words (Whisper tiny.en)"]


def likeness(told: Sequence[Told]) -> list[str]:
    """Similarity of each voice's speech to its own and to the other reference, by ECAPA-TDNN."""
    if lacking := judges.missing(judges.OF_VOICES):
        return [f"similarity   not measured: {lacking[0]} is not installed (`make reference`)"]
    references = {v.name: judges.ecapa_embedding((v.reference, MODEL_RATE)) for v in told}
    lines = []
    for voice in told:
        speech = np.concatenate([spoken.waveform for spoken in voice.spoken])
        found = judges.ecapa_embedding((speech, OUTPUT_RATE))
        shown = [f"{found @ own:.2f} to {name}" for name, own in references.items()]
        lines.append(f"similarity   {voice.name}: {', '.join(shown)} (ECAPA-TDNN)")
    return lines


if __name__ == "__main__":
    sys.exit(run(main, parser()))
