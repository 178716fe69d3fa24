"""How fast is WaveRNN on one processor core? This package's loop and plain torch, in turns.

Both have the weights that a seed draws, full size, and speak for some samples at each number of
folds; torch's loop is written as Real-Time-Voice-Cloning runs its own: GRU and linear layers, one
softmax draw a sample. CPU seconds are counted; a HiFi-GAN of the default sizes stands beside.

    python benchmarks/wavernn.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measuring import report
from myxtts.flags import make_parser, run
from myxtts.generation.vocoders import HifiGanVocoder
from myxtts.generation.wavernn import KernelEngine, draws
from myxtts.models.mel_hifigan import MelHifiGan
from myxtts.models.wavernn import WaveRNN
from myxtts.weights.rtvc_vocoder import state_dict

# Folds, and steps of each that take about as long.
CASES = {1: 400, 9: 150, 37: 60}
WEIGHTS = ("float32", "int16", "int8")
HIFIGAN_FRAMES, HOP = 400, 200


def parser() -> argparse.ArgumentParser:
    parser = make_parser("wavernn.py", __doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    return parser


def drawn_model(seed: int = 0) -> WaveRNN:
    """A full-size model with weights of the scale of trained ones."""
    model, rng = WaveRNN(), np.random.default_rng(seed)
    model.build()
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            inputs = np.prod(variable.shape[:-1])
            drawn = rng.standard_normal(variable.shape) * 1.2 / np.sqrt(inputs)
            variable.assign(drawn.astype("float32"))
    return model


def kernel_side(model: WaveRNN, weights: str, folds: int, steps: int) -> Callable[[], object]:
    """A call that speaks ``steps`` samples of each fold with this package's loop."""
    engine = KernelEngine(model, weights)
    mel = np.clip(0.5 * np.random.default_rng(1).standard_normal((60, 80)), -1, 1)
    starts = np.arange(folds, dtype="int64") * 200
    conditions = engine.conditions(mel.astype("float32"), starts, steps)
    uniforms = draws(model.sizes, (steps, folds), 0)
    return lambda: engine.speak(conditions, uniforms)


def torch_side(model: WaveRNN, folds: int, steps: int) -> Callable[[], object]:
    """The same in plain torch, with the same weights."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    nn, width = torch.nn, 512
    entry, exit_ = nn.Linear(113, width), nn.Linear(width, 512)
    rnn1, rnn2 = nn.GRUCell(width, width), nn.GRUCell(width + 32, width)
    fc1, fc2 = nn.Linear(width + 32, width), nn.Linear(width + 32, width)
    weights = {key: torch.tensor(value) for key, value in state_dict(model, 0).items()}
    named = {"I": entry, "rnn1": rnn1, "rnn2": rnn2, "fc1": fc1, "fc2": fc2, "fc3": exit_}
    for name, module in named.items():
        own = {key: weights.get(f"{name}.{key}", weights.get(f"{name}.{key}_l0"))
               for key in module.state_dict()}  # fmt: skip
        module.load_state_dict(own)
    mels, aux = torch.randn(folds, steps, 80), torch.randn(folds, steps, 128)

    def speak():
        with torch.no_grad():
            one, two = torch.zeros(folds, width), torch.zeros(folds, width)
            last, said = torch.zeros(folds, 1), []
            for step in range(steps):
                parts = aux[:, step].split(32, dim=1)
                hidden = entry(torch.cat([last, mels[:, step], parts[0]], 1))
                one = rnn1(hidden, one)
                hidden = hidden + one
                two = rnn2(torch.cat([hidden, parts[1]], 1), two)
                hidden = hidden + two
                hidden = torch.relu(fc1(torch.cat([hidden, parts[2]], 1)))
                hidden = torch.relu(fc2(torch.cat([hidden, parts[3]], 1)))
                chances = torch.softmax(exit_(hidden), 1)
                drawn = torch.distributions.Categorical(chances).sample()
                last = (2 * drawn.float() / 511 - 1)[:, None]
                said.append(last)
        return said

    return speak


def best_rates(sides: dict[str, Callable[[], object]], samples: int, rounds: int) -> dict:
    """Samples a CPU second of each side, the best of some turns."""
    found = dict.fromkeys(sides, 0.0)
    for call in sides.values():
        call()
    for _ in range(rounds):
        for name, call in sides.items():
            start = time.process_time()
            call()
            found[name] = max(found[name], samples / (time.process_time() - start))
    return found


def main(args: argparse.Namespace) -> None:
    """Measure, and print a JSON line for each number of folds."""
    model = drawn_model()
    for folds, steps in CASES.items():
        sides = {"torch": torch_side(model, folds, steps)}
        sides |= {kind: kernel_side(model, kind, folds, steps) for kind in WEIGHTS}
        with threadpool_limits(1):
            rates = best_rates(sides, folds * steps, args.rounds)
        ratios = {kind: round(rates[kind] / rates["torch"], 2) for kind in WEIGHTS}
        told = {name: round(rate) for name, rate in rates.items()}
        report({"folds": folds, "samples_a_cpu_second": told, "times_torch": ratios})
    with threadpool_limits(1):
        rates = best_rates({"hifigan": hifigan_side()}, HIFIGAN_FRAMES * HOP, args.rounds)
    report({"samples_a_cpu_second": {name: round(rate) for name, rate in rates.items()}})


def hifigan_side() -> Callable[[], object]:
    """A call that speaks five seconds with a HiFi-GAN of the default sizes."""
    model = MelHifiGan()
    model.build()
    mel = np.random.default_rng(1).uniform(-4, 4, (80, HIFIGAN_FRAMES + 1)).astype("float32")
    vocoder = HifiGanVocoder(model)
    return lambda: vocoder.vocode(mel)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
