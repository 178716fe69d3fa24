"""A model in one go: five sentences in two voices, with pictures and a report.

    myxtts demo --output outputs/demo

Leaves the speech (one WAV a voice), ``speech.png`` (waveform, mel and alignment of the first
sentence) and ``report.txt``. ``--preset`` lets another model speak; the voices are its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.io import resample, write_audio
from myxtts.audio.mel import MelSpectrogram
from myxtts.errors import CheckpointError
from myxtts.flags import make_parser
from myxtts.plots import new_figure, save_figure, show_matrix
from myxtts.presets.finding import add_preset_flag, find_preset
from myxtts.presets.voices import preset_voices
from myxtts.timing import OUTPUT_RATE

VOICES = 2  # of the model's own, the first ones
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
        reference: what the model has heard of it, float32 ``(samples,)`` at 22.05 kHz; None for a
            voice of the model's own.
        spoken: a ``Synthesis`` of each sentence.
        alignment: attention ``(codes, text ids)`` in the first of them.
        heard: what Whisper hears of each; empty where it is not installed.
    """

    name: str
    reference: np.ndarray | None
    spoken: list
    alignment: np.ndarray
    heard: list[str] = field(default_factory=list)


# Lines of the report on what was said.
Judge = Callable[[Sequence[Told]], list[str]]


def parser(prog: str = "myxtts demo") -> argparse.ArgumentParser:
    """Flags of the program."""
    parser = make_parser(prog, __doc__)
    parser.add_argument("--output", default="outputs/demo", help="folder of everything made")
    add_preset_flag(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    """Speak in voices of the model's own, draw and report."""
    preset = find_preset(args.preset)
    names = own_voices(preset)
    told = f"{', '.join(names)}, of the model's own"
    perform(preset, Path(args.output), dict.fromkeys(names), told)


def own_voices(preset: Path) -> list[str]:
    """Names of the voices of the preset that speak in the demo.

    Raises:
        CheckpointError: it has none.
    """
    if names := [voice.name for voice in preset_voices(preset)]:
        return names[:VOICES]
    raise CheckpointError(
        f"the model {preset} has no voices of its own for a demo: `myxtts speak --preset {preset} "
        "--reference-audio FILE` lets it speak in that of a recording."
    )


def perform(
    preset: Path,
    output: Path,
    voices: Mapping[str, np.ndarray | None],
    source: str,
    judge: Judge | None = None,
) -> None:
    """Speak, draw, judge and report.

    Args:
        preset: folder of the model.
        output: folder of everything made.
        voices: references by the names of their voices, float32 ``(samples,)`` at 22.05 kHz; None
            for one of the model's own.
        source: what the report says of the voices.
        judge: says how well it was said.
    """
    started = time.monotonic()
    told = speak(preset, voices)
    seconds = time.monotonic() - started
    for voice in told:
        parts = [part for spoken in voice.spoken for part in (PAUSE, spoken.waveform)]
        write_audio(output / f"{voice.name}.wav", np.concatenate(parts[1:]), OUTPUT_RATE)
    draw(output / "speech.png", told)
    text = report(preset, told, seconds, source, judge(told) if judge else [])
    (output / "report.txt").write_text(text, encoding="utf-8")
    print(text, file=sys.stderr)
    print(output)


def speak(preset: Path, voices: Mapping[str, np.ndarray | None]) -> list[Told]:
    """Every sentence in every voice; ``voices`` as in :func:`perform`."""
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.models.xtts import XTTS

    synthesizer = Synthesizer(XTTS.from_preset(preset))
    told = []
    for name, heard in voices.items():
        voice = synthesizer.voice(name) if heard is None else synthesizer.condition([heard])
        spoken = [synthesizer.speak(sentence, voice) for sentence in SENTENCES]
        attention = alignment(synthesizer, SENTENCES[0], spoken[0].codes[0], voice.latents)
        told.append(Told(name, heard, spoken, attention))
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


def report(
    preset: Path, told: Sequence[Told], seconds: float, source: str, judged: Sequence[str]
) -> str:
    """One page of what was said and how it was judged."""
    length = sum(spoken.duration for voice in told for spoken in voice.spoken)
    vocoder = told[0].spoken[0].vocoder
    lines = [
        "MyXTTS demo",
        "===========",
        f"model        {preset}",
        f"voices       {source}",
        f"speech       {length:.1f} s through {vocoder} in {seconds:.1f} s, loading and building "
        "the graphs included",
        *judged,
    ]
    for voice in told:
        lines += ["", f"{voice.name}, {voice.name}.wav"]
        for number, (text, spoken) in enumerate(zip(SENTENCES, voice.spoken, strict=True)):
            flags = ", ".join(sorted({flag for found in spoken.flags for flag in found}))
            lines.append(f"  said   {text}{f' [{flags}]' if flags else ''}")
            lines += [f"  heard  {voice.heard[number]}"] if voice.heard else []
    return "\n".join([*lines, ""])
