"""The shipped model in one go: five new sentences in the voices of two recordings.

    python tools/demo.py --output outputs/demo

Leaves the speech (one WAV a voice), ``speech.png`` (waveform, mel and alignment of the first
sentence) and ``report.txt``, with word error rate and similarity where the judges of
``make reference`` are installed. ``--preset`` lets another model speak.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.io import read_audio, resample, write_audio
from myxtts.audio.mel import MelSpectrogram
from myxtts.data.formats import find_utterances
from myxtts.errors import CheckpointError
from myxtts.flags import make_parser, run
from myxtts.plots import new_figure, save_figure, show_matrix
from myxtts.presets.finding import add_preset_flag, find_preset
from myxtts.timing import MODEL_RATE, OUTPUT_RATE
from tools import judges

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "examples" / "demo_corpus"
SPEAKERS = ("af_bella", "am_fenrir")
CLIPS = 4  # of each speaker: about eight seconds
SENTENCES = (
    "Good morning, and welcome to the oldest lighthouse on this coast.",
    "How long have you been waiting for the last ferry?",
    "The tickets cost $12.50, and the next tour begins at 10:45.",
    "Wonderful!",
    "If the weather stays as calm as it is now, we can row out to the island after lunch, and with "
    "a little luck the seals will be lying on the rocks.",
)
PAUSE = np.zeros(OUTPUT_RATE // 2, "float32")


@dataclass
class Told:
    """What one voice said.

    Attributes:
        name: of the voice.
        reference: what the model has heard of it, float32 ``(samples,)`` at 22.05 kHz.
        spoken: a ``Synthesis`` of each sentence.
        alignment: attention ``(codes, text ids)`` in the first of them.
        heard: what Whisper hears of each; empty where it is not installed.
    """

    name: str
    reference: np.ndarray
    spoken: list
    alignment: np.ndarray
    heard: list[str] = field(default_factory=list)


def parser() -> argparse.ArgumentParser:
    parser = make_parser("demo.py", __doc__)
    parser.add_argument("--output", default="outputs/demo", help="folder of everything made")
    add_preset_flag(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    """Speak, draw, judge and report."""
    preset, output = model_folder(args.preset), Path(args.output)
    started = time.monotonic()
    told = speak(preset, references())
    seconds = time.monotonic() - started
    for voice in told:
        parts = [part for spoken in voice.spoken for part in (PAUSE, spoken.waveform)]
        write_audio(output / f"{voice.name}.wav", np.concatenate(parts[1:]), OUTPUT_RATE)
    draw(output / "speech.png", told)
    text = report(preset, told, seconds)
    (output / "report.txt").write_text(text, encoding="utf-8")
    print(text, file=sys.stderr)
    print(output)


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


def speak(preset: Path, voices: Mapping[str, np.ndarray]) -> list[Told]:
    """Every sentence in every voice."""
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.models.xtts import XTTS

    synthesizer = Synthesizer(XTTS.from_preset(preset))
    told = []
    for name, reference in voices.items():
        voice = synthesizer.condition([reference])
        spoken = [synthesizer.speak(sentence, voice) for sentence in SENTENCES]
        attention = alignment(synthesizer, SENTENCES[0], spoken[0].codes[0], voice.latents)
        told.append(Told(name, reference, spoken, attention))
    return told


def alignment(synthesizer, text: str, codes: np.ndarray, latents: np.ndarray) -> np.ndarray:
    """How much each code attends to each text id, ``(codes, ids)``.

    Of the heads that learned it, where the training had a loss for that, else of all.
    """
    model, ids = synthesizer.model, synthesizer.text_ids(text)[0]
    inputs = {
        "text_ids": ids[None],
        "text_lengths": np.array([len(ids)], "int32"),
        "audio_codes": np.asarray(codes, "int32")[None],
        "code_lengths": np.array([len(codes)], "int32"),
        "conditioning_latents": latents,
    }
    training = model.config.training
    if training.alignment_loss_weight > 0:
        outputs = model.gpt(inputs, attention_blocks=training.alignment_blocks)["attention"]
        heads = [np.asarray(weights)[0, : training.alignment_heads] for weights in outputs]
        attention = np.concatenate(heads).mean(axis=0)
    else:
        attention = np.asarray(model.gpt.alignment(inputs))[0]
    return attention[: len(codes), 1 : len(ids) + 1]


def draw(path: Path, told: Sequence[Told]) -> None:
    """Waveform, mel and alignment of the first sentence, a column for each voice."""
    figure, rows = new_figure(3, len(told), (7 * len(told), 9))
    for column, voice in enumerate(told):
        wave, mel, attention = (row[column] for row in rows)
        spoken = voice.spoken[0]
        wave.plot(np.arange(len(spoken.waveform)) / OUTPUT_RATE, spoken.waveform, linewidth=0.4)
        wave.set(title=voice.name, xlim=(0, spoken.duration), xlabel="seconds")
        clip = resample(spoken.waveform, OUTPUT_RATE, XTTS_DVAE.sample_rate)
        matrix = np.asarray(MelSpectrogram(XTTS_DVAE)(clip[None])[0])
        show_matrix(mel, matrix, spoken.duration)
        mel.set(xlabel="seconds", ylabel="mel channel")
        show_matrix(attention, voice.alignment, spoken.duration)
        attention.set(xlabel="seconds", ylabel="text id")
    figure.suptitle(SENTENCES[0])
    save_figure(figure, path)


def report(preset: Path, told: Sequence[Told], seconds: float) -> str:
    """One page of what was said and how it was judged."""
    length = sum(spoken.duration for voice in told for spoken in voice.spoken)
    vocoder = told[0].spoken[0].vocoder
    lines = [
        "MyXTTS demo",
        "===========",
        f"model        {preset}",
        f"voices       {', '.join(SPEAKERS)}, of {CLIPS} clips of {CORPUS.relative_to(ROOT)}",
        f"speech       {length:.1f} s through {vocoder} in {seconds:.1f} s, loading and building "
        "the graphs included",
        *words(told),
        *likeness(told),
    ]
    for voice in told:
        lines += ["", f"{voice.name}, {voice.name}.wav"]
        for number, (text, spoken) in enumerate(zip(SENTENCES, voice.spoken, strict=True)):
            flags = ", ".join(sorted({flag for found in spoken.flags for flag in found}))
            lines.append(f"  said   {text}{f' [{flags}]' if flags else ''}")
            lines += [f"  heard  {voice.heard[number]}"] if voice.heard else []
    return "\n".join([*lines, ""])


def words(told: Sequence[Told]) -> list[str]:
    """Word error rate of all that was said, by Whisper tiny.en."""
    if lacking := judges.missing(judges.OF_WORDS):
        return [f"WER          not measured: {lacking[0]} is not installed (`make reference`)"]
    errors = count = 0
    for voice in told:
        voice.heard = [judges.transcribe(spoken.waveform, OUTPUT_RATE) for spoken in voice.spoken]
        for text, heard in zip(SENTENCES, voice.heard, strict=True):
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
