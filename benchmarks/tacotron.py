"""How fast is SV2TTS's synthesizer? A training step, and speech, beside plain torch in turns.

Both have the same weights, full size, drawn by a seed, and are first seen to say the same.

    python benchmarks/tacotron.py
    python benchmarks/tacotron.py --threads 1 --rounds 3
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.measuring import in_turns, report
from myxtts.errors import MyXTTSError
from myxtts.flags import make_parser, run

# Of a training batch: utterances, characters and frames, about two seconds of speech each.
BATCH, CHARACTERS, FRAMES = 12, 40, 160
# Of speech: characters, and decoder steps, 2.5 seconds of it at r = 2.
SPOKEN, STEPS = 60, 100
TOLERANCE = 1e-4


def parser() -> argparse.ArgumentParser:
    parser = make_parser("tacotron.py", __doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--threads", type=int, default=0, help="of both sides; 0: all")
    return parser


def drawn_model(seed: int = 0):
    """A full-size model with weights of the scale of trained ones."""
    from myxtts.models.tacotron import Tacotron
    from myxtts.synthesizer_config import TacotronConfig

    model = Tacotron(TacotronConfig(masked_attention=False))
    model.build()
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1 and "bias" not in variable.path:
            inputs = np.prod(variable.shape[:-1])
            variable.assign(rng.standard_normal(variable.shape) * 1.2 / np.sqrt(inputs))
    return model


def material(batch: int, characters: int, frames: int) -> tuple[np.ndarray, ...]:
    """Ids, embeddings and mels ``(batch, frames, 80)``."""
    rng = np.random.default_rng(1)
    embeddings = np.abs(rng.standard_normal((batch, 256)))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    mels = np.clip(2 * rng.standard_normal((batch, frames, 80)), -4, 4)
    ids = rng.integers(2, 64, (batch, characters))
    return ids.astype("int32"), embeddings.astype("float32"), mels.astype("float32")


def training_sides(model, arrays: dict) -> dict[str, Callable[[], Any]]:
    """A step of each: forward, losses, gradients, Adam."""
    import tensorflow as tf

    from benchmarks.tacotron_torch import TorchTacotron

    ids, embeddings, mels = material(BATCH, CHARACTERS, FRAMES)
    stops = np.zeros((BATCH, FRAMES), "float32")
    return {
        "torch": _torch_step(TorchTacotron(arrays), ids, embeddings, mels, stops),
        "ours": _our_step(model, *map(tf.constant, (ids, embeddings, mels, stops))),
    }


def _our_step(model, ids, embeddings, mels, stops) -> Callable[[], Any]:
    import keras
    import tensorflow as tf

    from myxtts.synthesizer_losses import tacotron_losses

    optimizer = keras.optimizers.Adam(1e-4, epsilon=1e-8, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            masks = model.draw(ids, FRAMES // 2, True)
            spoken = model(ids, embeddings, mels, r=2, masks=masks, training=True)
            loss = sum(tacotron_losses(spoken, mels, stops).values())
        found = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(found, model.trainable_variables, strict=True))
        return loss

    return lambda: float(step())


def _torch_step(side, ids, embeddings, mels, stops) -> Callable[[], Any]:
    import torch
    from torch.nn import functional as F

    ids, embeddings = torch.tensor(ids).long(), torch.tensor(embeddings)
    mels, stops = torch.tensor(mels).transpose(1, 2).contiguous(), torch.tensor(stops)
    parameters = side.parameters()
    optimizer = torch.optim.Adam(parameters, 1e-4)

    def step():
        mel, linear, _, stop = side.forward(ids, embeddings, mels, training=True)
        loss = F.mse_loss(mel, mels) + F.l1_loss(mel, mels) + F.mse_loss(linear, mels)
        loss = loss + F.binary_cross_entropy_with_logits(stop, stops)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item()

    return step


def speaking_sides(model, arrays: dict) -> dict[str, Callable[[], Any]]:
    """``STEPS`` decoder steps of each, from texts to refined mels."""
    import tensorflow as tf
    import torch

    from benchmarks.tacotron_torch import TorchTacotron

    ids, embeddings, _ = material(1, SPOKEN, 2)
    side = TorchTacotron(arrays)

    @tf.function(autograph=False)
    def ours():
        return model.generate(ids, embeddings, limit=2 * STEPS).linear

    texts, voice = torch.tensor(ids).long(), torch.tensor(embeddings)
    return {
        "torch": lambda: side.generate(texts, voice, STEPS).shape[2],
        "ours": lambda: ours().numpy().shape[1],
    }


def check(model, arrays: dict) -> None:
    """See that both say the same without dropout.

    Raises:
        MyXTTSError: they do not.
    """
    import torch

    from benchmarks.tacotron_torch import TorchTacotron
    from myxtts.models.tacotron import Masks

    ids, embeddings, mels = material(2, 20, 12)
    own = np.asarray(model(ids, embeddings, mels, r=2, masks=Masks()).linear)
    given = torch.tensor(ids).long(), torch.tensor(embeddings), torch.tensor(mels).transpose(1, 2)
    theirs = TorchTacotron(arrays, dropout=0.0).forward(*given)[1].detach().numpy()
    off = np.abs(own - theirs.transpose(0, 2, 1)).max() / np.abs(own).max()
    if off > TOLERANCE:
        raise MyXTTSError(f"the two sides differ by {off:.2g}: they cannot be compared.")


def main(args: argparse.Namespace) -> None:
    """Measure, and print a JSON line for training and one for speech."""
    threads = args.threads or os.cpu_count()
    import tensorflow as tf
    import torch

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    torch.set_num_threads(threads)
    from myxtts.weights import rtvc_synthesizer

    model = drawn_model()
    arrays = {key: np.asarray(value) for key, value in rtvc_synthesizer.state(model).items()}
    check(model, arrays)
    # Nothing ends: what is timed is so many steps.
    model.decoder.stop_proj.bias.assign([-100.0])
    for name, sides in (
        ("training step", training_sides(model, arrays)),
        (f"{STEPS} decoder steps of speech", speaking_sides(model, arrays)),
    ):
        for call in sides.values():
            call()
        rows = in_turns(sides, args.rounds)
        took = {side: round(median(t for t, _ in own), 4) for side, own in rows.items()}
        report(
            {
                "measured": name,
                "threads": threads,
                "seconds": took,
                "times_torch": round(took["torch"] / took["ours"], 2),
            }
        )


if __name__ == "__main__":
    sys.exit(run(main, parser()))
