"""How fast is WaveRNN on one processor core? This package's loop and plain torch, in turns.

Both have the weights that a seed draws, full size, and speak for some samples at each number of
folds; torch's loop is written as Real-Time-Voice-Cloning runs its own: GRU and linear layers, one
softmax draw a sample. CPU seconds are counted; a HiFi-GAN of the default sizes stands beside. Then
how many classes integers say until one is another than float32's, with the same draws.

    python benchmarks/wavernn.py

With ``--training`` a training step on so many crops of 1,000 samples is timed instead, on all
cores: this package's, the same with Keras's own GRUs, and torch's, which is given the upsampled
mels and their features.

    python benchmarks/wavernn.py --training 100
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measuring import in_turns, report
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
# Folds, and steps of each, of which classes are compared.
COMPARED = 256, 150
# Of the full size's GRUs.
WIDTH = 512
# Of a crop in training.
SAMPLES = 1000


def parser() -> argparse.ArgumentParser:
    parser = make_parser("wavernn.py", __doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument(
        "--training", type=int, default=0, metavar="CROPS", help="time a training step on these"
    )
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


def kernel_side(
    model: WaveRNN, weights: str, folds: int, steps: int, frames: int = 60
) -> Callable[[], object]:
    """A call that speaks ``steps`` samples of each fold with this package's loop."""
    engine = KernelEngine(model, weights)
    mel = np.clip(0.5 * np.random.default_rng(1).standard_normal((frames, 80)), -1, 1)
    starts = np.arange(folds, dtype="int64") * 200
    conditions = engine.conditions(mel.astype("float32"), starts, steps)
    uniforms = draws(model.sizes, (steps, folds), 0)
    return lambda: engine.speak(conditions, uniforms)


def classes_to_another(model: WaveRNN) -> dict[str, int]:
    """How many classes integers say, on the average, until one is another than float32's.

    A fold counts up to its first other class: behind it the two speak of different pasts.
    """
    folds, steps = COMPARED
    said = {kind: kernel_side(model, kind, folds, steps, frames=400)() for kind in WEIGHTS}
    found = {}
    for kind in WEIGHTS[1:]:
        others = said[kind] != said["float32"]
        ended = others.any(axis=0)
        counted = np.where(ended, others.argmax(axis=0) + 1, steps).sum()
        found[kind] = round(counted / max(ended.sum(), 1))
    return found


def torch_layers(model: WaveRNN, gru: Callable) -> dict[str, Any]:
    """torch's layers with the model's weights, by RTVC's names, in the order of their use.

    Args:
        model: of full size.
        gru: makes one of those of ``rnn1`` and ``rnn2``, of its widths.
    """
    import torch

    linear = torch.nn.Linear
    layers = {
        "I": linear(113, WIDTH),
        "rnn1": gru(WIDTH, WIDTH),
        "rnn2": gru(WIDTH + 32, WIDTH),
        "fc1": linear(WIDTH + 32, WIDTH),
        "fc2": linear(WIDTH + 32, WIDTH),
        "fc3": linear(WIDTH, 512),
    }
    weights = {key: torch.tensor(value) for key, value in state_dict(model, 0).items()}
    for name, layer in layers.items():
        own = {key: weights.get(f"{name}.{key}", weights.get(f"{name}.{key}_l0"))
               for key in layer.state_dict()}  # fmt: skip
        layer.load_state_dict(own)
    return layers


def torch_side(model: WaveRNN, folds: int, steps: int) -> Callable[[], object]:
    """The same in plain torch, with the same weights."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    entry, rnn1, rnn2, fc1, fc2, exit_ = torch_layers(model, torch.nn.GRUCell).values()
    mels, aux = torch.randn(folds, steps, 80), torch.randn(folds, steps, 128)

    def speak():
        with torch.no_grad():
            one, two = torch.zeros(folds, WIDTH), torch.zeros(folds, WIDTH)
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


def training_sides(crops: int) -> dict[str, Callable[[], object]]:
    """A step of each: forward, loss, gradients, Adam."""
    kerass = drawn_model()
    for layer in (kerass.rnn1, kerass.rnn2):
        layer.call = functools.partial(keras.layers.GRU.call, layer)
    return {
        "torch": _torch_step(drawn_model(), crops),
        "keras": _our_step(kerass, crops),
        "ours": _our_step(drawn_model(), crops),
    }


def _our_step(model: WaveRNN, crops: int) -> Callable[[], object]:
    import tensorflow as tf

    rng = np.random.default_rng(2)
    labels = tf.constant(rng.integers(0, 512, (crops, SAMPLES + 1)), "int32")
    samples = 2 * tf.cast(labels[:, :-1], "float32") / 511 - 1
    mels = tf.constant(rng.uniform(-1, 1, (crops, SAMPLES // HOP + 4, 80)), "float32")
    optimizer = keras.optimizers.Adam(1e-4, epsilon=1e-8)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = model.loss_of(model((samples, mels), training=True), labels[:, 1:])
        found = tape.gradient(loss, [item.value for item in model.trainable_variables])
        optimizer.apply(found, model.trainable_variables)
        return loss

    return lambda: float(step())


def _torch_step(model: WaveRNN, crops: int) -> Callable[[], object]:
    import torch

    modules = torch_layers(model, functools.partial(torch.nn.GRU, batch_first=True))
    learned = [item for module in modules.values() for item in module.parameters()]
    adam = torch.optim.Adam(learned, 1e-4)
    labels = torch.randint(0, 512, (crops, SAMPLES + 1))
    last = (2 * labels[:, :-1].float() / 511 - 1)[..., None]
    mels, aux = torch.randn(crops, SAMPLES, 80), torch.randn(crops, SAMPLES, 128).split(32, 2)

    def step():
        hidden = modules["I"](torch.cat([last, mels, aux[0]], 2))
        hidden = hidden + modules["rnn1"](hidden)[0]
        hidden = hidden + modules["rnn2"](torch.cat([hidden, aux[1]], 2))[0]
        hidden = torch.relu(modules["fc1"](torch.cat([hidden, aux[2]], 2)))
        hidden = torch.relu(modules["fc2"](torch.cat([hidden, aux[3]], 2)))
        logits = modules["fc3"](hidden).transpose(1, 2)
        loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:])
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.item()

    return step


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
    """Measure, and print a JSON line for each number of folds, or for a training step."""
    if args.training:
        sides = training_sides(args.training)
        in_turns(sides, 1)  # makes the graphs
        rows = in_turns(sides, args.rounds)
        seconds = {name: round(median(t for t, _ in own), 3) for name, own in rows.items()}
        ratios = {name: round(seconds[name] / seconds["ours"], 2) for name in ("torch", "keras")}
        report({"crops": args.training, "seconds_a_step": seconds, "times_faster_than": ratios})
        return
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
    report({"classes_to_another_than_float32s": classes_to_another(model)})


def hifigan_side() -> Callable[[], object]:
    """A call that speaks five seconds with a HiFi-GAN of the default sizes."""
    model = MelHifiGan()
    model.build()
    mel = np.random.default_rng(1).uniform(-4, 4, (80, HIFIGAN_FRAMES + 1)).astype("float32")
    vocoder = HifiGanVocoder(model)
    return lambda: vocoder.vocode(mel)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
