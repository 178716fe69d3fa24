"""A training step of ECAPA-TDNN beside SpeechBrain's, and WavLM beside transformers, in turns.

    python benchmarks/speaker_training.py [--side step|wavlm] [--mixed-precision]

Needs torch, speechbrain and transformers (`make reference`). Weights are random and alike in
number; speed does not depend on them. Both sides hear the same crops, and make features, loss
(AAM-softmax), gradients, clipping and AdamW of them. The ratio is the median over the rounds of
the two times in one round, so that what else the machine does meets both; on a machine that
others use, ask for one thread, and look at the ratio of processor times too.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
import tensorflow as tf

from benchmarks.measuring import in_turns, report
from myxtts.flags import make_parser, run
from myxtts.speaker_config import SpeakerConfig
from myxtts.timing import SPEAKER_RATE
from myxtts.training.stages.speaker import SpeakerTask
from myxtts.training.stages.speaker_system import start_encoder
from myxtts.wavlm_config import WavLMConfig

logger = logging.getLogger(__name__)

CLASSES = 1000


def main(args: argparse.Namespace) -> None:
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
        tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    results = {}
    for side in [args.side] if args.side else list(SIDES):
        rng = np.random.default_rng(0)
        audio = 0.1 * rng.standard_normal((args.batch_size, int(args.seconds * SPEAKER_RATE)))
        results[side] = compare(SIDES[side](audio.astype("float32"), args), args)
        logger.info("%s: %s", side, results[side])
    shape = {"batch": args.batch_size, "seconds": args.seconds, "threads": args.threads}
    report({**shape, "mixed_precision": args.mixed_precision, **results})


def parser() -> argparse.ArgumentParser:
    parser = make_parser("speaker_training.py", __doc__)
    parser.add_argument("--side", choices=list(SIDES), help="only this one")
    parser.add_argument("--batch-size", type=int, default=32, help="crops a batch")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a crop")
    parser.add_argument("--channels", type=int, default=512, help="of the ECAPA-TDNN")
    parser.add_argument("--rounds", type=int, default=7, help="times each side runs")
    parser.add_argument("--threads", type=int, default=0, help="of both sides (default: theirs)")
    parser.add_argument(
        "--mixed-precision", action="store_true", help="bfloat16 for MyXTTS; the other float32"
    )
    return parser


def compare(sides: dict[str, Callable], args: argparse.Namespace) -> dict:
    """Crops a second of both, and the ratio of their times; the first round warms up."""
    calls = {name: partial(processor_seconds, side) for name, side in sides.items()}
    rows = in_turns(calls, args.rounds + 1)
    ours, theirs = (np.array(rows[name][1:], "float64") for name in ("ours", "theirs"))
    walls, shares = (theirs / ours).T
    return {
        "ours_per_second": round(float(args.batch_size / np.median(ours[:, 0])), 2),
        "theirs_per_second": round(float(args.batch_size / np.median(theirs[:, 0])), 2),
        "ratio": round(statistics.median(walls), 3),
        "ratios": sorted(walls.round(2).tolist()),
        "processor_time_ratio": round(statistics.median(shares), 3),
    }


def processor_seconds(call: Callable) -> float:
    """Seconds that all threads of this process work in a call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def steps(audio: np.ndarray, args: argparse.Namespace) -> dict[str, Callable]:
    """Training steps of both sides on one batch."""
    speakers = np.arange(len(audio), dtype="int32")
    return {
        "ours": our_step(audio, speakers, args),
        "theirs": speechbrain_step(audio, speakers, args.channels),
    }


def our_step(audio: np.ndarray, speakers: np.ndarray, args: argparse.Namespace) -> Callable:
    """The step of the stage ``speaker``, compiled as its trainer does."""
    channels = [args.channels] * 4 + [3 * args.channels]
    training = {
        "loss": "aam_softmax",
        "mixed_precision": args.mixed_precision,
        "speaker": {"batch_size": len(audio)},
    }
    config = SpeakerConfig().merged(
        {
            "model": {"ecapa": {"channels": channels}},
            "data": {"speakers_per_batch": len(audio)},
            "training": training,
        }
    )
    encoder, _ = start_encoder(config, Path())
    names = [str(number) for number in range(CLASSES)]
    task = SpeakerTask(SimpleNamespace(encoder=encoder, speakers=names), config)
    lengths = np.full(len(audio), audio.shape[1], "int32")
    batch = {"audio": audio, "lengths": lengths, "speakers": speakers}
    batch = {name: tf.constant(value) for name, value in batch.items()}
    spec = {"audio": (None, None), "lengths": (None,), "speakers": (None,)}
    signature = {name: tf.TensorSpec(shape, batch[name].dtype) for name, shape in spec.items()}
    step = tf.function(task.train_step, input_signature=[signature], autograph=False)
    return lambda: float(step(batch)["loss"])


def speechbrain_step(audio: np.ndarray, speakers: np.ndarray, channels: int) -> Callable:
    """The same of SpeechBrain's classes, as its VoxCeleb recipe puts them together."""
    import torch
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier
    from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper
    from speechbrain.processing.features import InputNormalization

    model = ECAPA_TDNN(80, lin_neurons=192, channels=[channels] * 4 + [3 * channels]).train()
    classifier = Classifier(192, out_neurons=CLASSES)
    features, normalise = Fbank(n_mels=80), InputNormalization(norm_type="sentence", std_norm=False)
    criterion = LogSoftmaxWrapper(AdditiveAngularMargin(margin=0.2, scale=30))
    weights = [*model.parameters(), *classifier.parameters()]
    optimizer = torch.optim.AdamW(weights, 1e-3, weight_decay=1e-4)
    waves, targets = torch.from_numpy(audio), torch.from_numpy(speakers).long()[:, None]
    shares = torch.ones(len(audio))

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            mels = normalise(features(waves), shares)
        loss = criterion(classifier(model(mels, shares)), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 3.0)
        optimizer.step()
        return loss.item()

    return step


def wavlm(audio: np.ndarray, args: argparse.Namespace) -> dict[str, Callable]:
    """Forward passes of WavLM-base: hidden states of every block."""
    import torch
    from transformers import WavLMConfig as TheirConfig
    from transformers import WavLMModel

    from myxtts.models.wavlm import WavLMEncoder

    model = WavLMModel(TheirConfig()).eval()
    keras.config.set_dtype_policy("mixed_bfloat16" if args.mixed_precision else "float32")
    encoder = WavLMEncoder(WavLMConfig(head=False, layer_sum=False))
    encoder.build()
    embed = tf.function(
        lambda audio: encoder(audio), [tf.TensorSpec((None, None))], autograph=False
    )
    waves, constant = torch.from_numpy(audio), tf.constant(audio)

    @torch.no_grad()
    def theirs() -> np.ndarray:
        return model(waves).last_hidden_state.mean(dim=1).numpy()

    return {"ours": lambda: embed(constant).numpy(), "theirs": theirs}


SIDES = {"step": steps, "wavlm": wavlm}

if __name__ == "__main__":
    sys.exit(run(main, parser()))
