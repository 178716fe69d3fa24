"""What rounding a trained GPT's matrices to int8 changes, under teacher forcing.

    python benchmarks/decode_accuracy.py --preset P [--corpus DIR] [--codes 1000]

Each clip is read in its own voice. The float model reads its text and codes at once; then, with
the same matrices rounded, TensorFlow reads the prompt and the int8 engine code after code. One
JSON line: relative errors of logits and latents, the mean KL divergence of the rounded model's
distribution of the next code from the float one's, how much likelier (negative) or unlikelier the
recordings' own codes became, and how often both have the same favourite. Differences are of all
positions; aims stand beside them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from tqdm import tqdm

from benchmarks.measuring import DEMO_CORPUS, report
from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.io import read_audio
from myxtts.audio.mel import MelSpectrogram
from myxtts.data.formats import Utterance, find_utterances
from myxtts.errors import DataError
from myxtts.flags import make_parser, run
from myxtts.generation.state import begin
from myxtts.inference.int8_engine import Int8Engine
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.gpt import GPT
from myxtts.models.xtts import XTTS
from myxtts.presets.finding import add_preset_flag, find_preset
from myxtts.presets.quantised import dequantise, quantise
from myxtts.timing import MODEL_RATE

AIMS = {"logits": 0.03, "latents": 0.03, "kl": 0.001, "nll": 0.005}


class Clip(NamedTuple):
    """What the GPT reads: int ``(text,)``, float ``(1, latents, D)`` and int ``(codes,)``."""

    ids: np.ndarray
    latents: np.ndarray
    codes: np.ndarray


def main(args: argparse.Namespace) -> None:
    model = XTTS.from_preset(find_preset(args.preset))
    clips = some(model, find_utterances(args.corpus), args.codes)
    report({"measure": "accuracy", **accuracy(model.gpt, clips), "aims": AIMS})


def some(model: XTTS, utterances: list[Utterance], codes: int) -> list[Clip]:
    """Clips of so many codes in all, evenly spread over a corpus.

    Raises:
        DataError: the corpus has less.
    """
    step = max(1, len(utterances) * 25 // codes)
    clips, found = [], 0
    for clip in read_clips(model, utterances[::step] + utterances[1::step]):
        clips.append(clip)
        found += len(clip.codes)
        if found >= codes:
            return clips
    raise DataError(f"the corpus has {found} codes that this model reads; {codes} are wanted.")


def read_clips(model: XTTS, utterances: list[Utterance]) -> Iterator[Clip]:
    """Those of the utterances whose text and speech the model can read at once."""
    synthesizer, mels = Synthesizer(model), MelSpectrogram(XTTS_DVAE)
    for item in utterances:
        audio, _ = read_audio(item.path, MODEL_RATE)
        codes = model.dvae.encode(model.mel_norm(mels(audio[None])))
        ids = synthesizer.reader.encode(item.text, item.language)
        if len(ids) <= model.gpt.max_text_tokens and codes.shape[1] <= model.gpt.max_new_codes:
            voice = synthesizer.condition([audio])
            yield Clip(np.array(ids, "int32"), voice.latents, np.array(codes[0], "int32"))


def accuracy(gpt: GPT, clips: list[Clip]) -> dict[str, float]:
    """Differences of the rounded model from the float one; ``gpt`` stays rounded."""
    exact = [float_latents(gpt, clip) for clip in tqdm(clips, desc="float", delay=2, disable=None)]
    for matrix in gpt.matrices:
        matrix.assign(dequantise(*quantise(matrix)))
    engine = Int8Engine(gpt)
    rounded = [int8_latents(engine, clip) for clip in tqdm(clips, desc="int8", delay=2)]
    targets = np.concatenate([[*clip.codes, gpt.stop_audio_token] for clip in clips])
    return differences(gpt, np.concatenate(exact), np.concatenate(rounded), targets)


def float_latents(gpt: GPT, clip: Clip) -> np.ndarray:
    """Latents ``(codes + 1, D)`` of all positions at once."""
    inputs = {
        "text_ids": clip.ids[None],
        "text_lengths": np.array([len(clip.ids)], "int32"),
        "audio_codes": clip.codes[None],
        "code_lengths": np.array([len(clip.codes)], "int32"),
        "conditioning_latents": clip.latents,
    }
    return np.asarray(gpt(inputs)["audio_latents"][0])


def int8_latents(engine: Int8Engine, clip: Clip) -> np.ndarray:
    """Latents ``(codes + 1, D)``, the prompt's and then code after code."""
    lengths = np.array([len(clip.ids)], "int32")
    state = begin(engine.gpt, clip.ids[None], lengths, clip.latents, 0)
    state = engine.take_over(state, len(clip.codes))
    rows, caches = [state["latent"]], state["caches"]
    for step, code in enumerate(clip.codes):
        latent, caches = engine.read(np.array([code]), np.array(step), caches)
        rows.append(latent)
    engine.close(state)
    return np.concatenate([np.asarray(row)[0] for row in rows])


def differences(gpt: GPT, exact: np.ndarray, rounded: np.ndarray, targets: np.ndarray) -> dict:
    """The figures of this program, of latents ``(positions, D)`` and the codes that follow."""
    logits = [np.asarray(gpt.audio_head(latents), "float64") for latents in (exact, rounded)]
    logs = [row - np.logaddexp.reduce(row, axis=1, keepdims=True) for row in logits]
    nll = [-float(np.mean(row[np.arange(len(targets)), targets])) for row in logs]
    figures = {
        "logits": relative(*logits),
        "latents": relative(exact, rounded),
        "kl": float(np.mean(np.sum(np.exp(logs[0]) * (logs[0] - logs[1]), axis=1))),
        "nll": nll[1] - nll[0],
        "nll_float": nll[0],
        "top_1": float(np.mean(logits[0].argmax(axis=1) == logits[1].argmax(axis=1))),
    }
    return {"codes": len(targets)} | {name: round(value, 6) for name, value in figures.items()}


def relative(exact: np.ndarray, rounded: np.ndarray) -> float:
    """Root mean square of the difference, by that of the values."""
    return float(np.linalg.norm(rounded - exact) / np.linalg.norm(exact))


def parser() -> argparse.ArgumentParser:
    parser = make_parser("decode_accuracy.py", __doc__)
    add_preset_flag(parser)
    corpus = DEMO_CORPUS / "train"
    parser.add_argument("--corpus", default=corpus, metavar="DIR", help="recordings with texts")
    parser.add_argument("--codes", type=int, default=1000, help="to read, at least")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
