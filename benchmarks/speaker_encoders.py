"""Utterances a second of the three speaker encoders beside their torch originals.

    python benchmarks/speaker_encoders.py [--clips DIR] [--encoder NAME]

Needs torch, coqui-tts, speechbrain and resemblyzer (`make reference`). ECAPA-TDNN and
Coqui's encoder have random weights of full size, converted from the original; speed does
not depend on them. Original and port take turns on the same clips, one clip at a time and
in batches; the ratio is the median over the rounds of the two times in one round.
"""

from __future__ import annotations

import argparse
import functools
import logging
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

from benchmarks.measuring import DEMO_CORPUS, in_turns, recordings, report
from myxtts.audio.io import padded, read_audio
from myxtts.flags import make_parser, run
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.timing import SPEAKER_RATE
from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder

logger = logging.getLogger(__name__)

Clips = Sequence[np.ndarray]
Embed = Callable[[Clips], np.ndarray]


def main(args: argparse.Namespace) -> None:
    paths = recordings(args.clips, args.count)
    clips = sorted((read_audio(path, SPEAKER_RATE)[0] for path in paths), key=len)
    results = []
    for name in args.encoder or ORIGINALS:
        original, port = make_pair(name)
        for batch_size in (1, args.batch_size):
            result = compare(original, port, clips, batch_size, args.rounds)
            results.append({"encoder": name, "batch": batch_size, **result})
            logger.info("%s", row(results[-1]))
    seconds = sum(len(clip) for clip in clips) / SPEAKER_RATE
    report({"clips": len(clips), "seconds": round(seconds, 1), "results": results})


def parser() -> argparse.ArgumentParser:
    parser = make_parser("speaker_encoders.py", __doc__)
    parser.add_argument("--clips", default=DEMO_CORPUS, help="folder of recordings")
    parser.add_argument("--count", type=int, default=32, help="clips that are used")
    parser.add_argument("--batch-size", type=int, default=8, help="clips a batch")
    parser.add_argument("--rounds", type=int, default=7, help="times each side runs")
    parser.add_argument("--encoder", action="append", choices=list(ORIGINALS), help="only this one")
    return parser


def make_pair(name: str) -> tuple[Embed, Embed]:
    """The original and the port under the same weights, each from a batch to embeddings."""
    original, file = ORIGINALS[name]()
    encoder = PretrainedSpeakerEncoder(name)
    load_pretrained_speaker_encoder(encoder, file)
    signature = [tf.TensorSpec((None, None)), tf.TensorSpec((None,), "int32")]
    embed = tf.function(lambda audio, lengths: encoder(audio, lengths), signature, autograph=False)

    return original, lambda batch: embed(*padded(batch)).numpy()


def compare(original: Embed, port: Embed, clips: Clips, batch_size: int, rounds: int) -> dict:
    """Utterances a second of both, their ratio, and the least cosine between embeddings."""
    batches = [clips[start : start + batch_size] for start in range(0, len(clips), batch_size)]

    def embedded(side: Embed) -> np.ndarray:
        return np.concatenate([side(batch) for batch in batches])

    sides = {"original": original, "port": port}
    calls = {name: functools.partial(embedded, side) for name, side in sides.items()}
    rounds = list(zip(*in_turns(calls, rounds + 1).values(), strict=True))
    cosine = min(cosines(theirs, ours).min() for (_, theirs), (_, ours) in rounds)
    # The first round warms up.
    theirs, ours = np.array([[taken for taken, _ in pair] for pair in rounds[1:]]).T
    return {
        "original_per_second": round(len(clips) / statistics.median(theirs), 2),
        "port_per_second": round(len(clips) / statistics.median(ours), 2),
        "ratio": round(statistics.median(theirs / ours), 2),
        "least_cosine": round(float(cosine), 6),
    }


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.sum(first * second, axis=1) / norms


def row(result: dict) -> str:
    return (
        f"{result['encoder']:<12} batch {result['batch']:>2}: original "
        f"{result['original_per_second']:>7.2f}/s, port {result['port_per_second']:>7.2f}/s, "
        f"ratio {result['ratio']:.2f}, cosine {result['least_cosine']:.6f}"
    )


def original_resemblyzer() -> tuple[Embed, None]:
    """``embed_utterance`` clip by clip: the package has no batches of clips."""
    from resemblyzer import VoiceEncoder, normalize_volume

    encoder = VoiceEncoder("cpu", verbose=False)

    def embed(clip: np.ndarray) -> np.ndarray:
        # The port sees to the volume inside; silences stay in on both sides.
        loud = normalize_volume(clip, -30, increase_only=True)
        return encoder.embed_utterance(loud.astype("float32"))

    return lambda batch: np.stack([embed(clip) for clip in batch]), None


def original_ecapa() -> tuple[Embed, Path]:
    """SpeechBrain's pipeline of ``encode_batch``."""
    import torch
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    model = ECAPA_TDNN(80, lin_neurons=192, channels=[1024, 1024, 1024, 1024, 3072]).eval()
    features = Fbank(n_mels=80)
    normalise = InputNormalization(norm_type="sentence", std_norm=False)

    @torch.no_grad()
    def embed(batch: Clips) -> np.ndarray:
        audio, lengths = padded(batch)
        shares = torch.from_numpy((lengths / lengths.max()).astype("float32"))
        mels = normalise(features(torch.from_numpy(audio)), shares)
        return model(mels, shares)[:, 0].numpy()

    return embed, written(model.state_dict(), "embedding_model.ckpt")


def original_coqui() -> tuple[Embed, Path]:
    """Coqui's class; it has no masks, so a batch of unlike lengths is run clip by clip."""
    import torch
    from TTS.encoder.models.resnet import ResNetSpeakerEncoder

    audio_config = {
        "fft_size": 512,
        "win_length": 400,
        "hop_length": 160,
        "sample_rate": SPEAKER_RATE,
        "preemphasis": 0.97,
        "num_mels": 64,
    }
    model = ResNetSpeakerEncoder(log_input=True, use_torch_spec=True, audio_config=audio_config)
    model.eval()

    @torch.no_grad()
    def embed(batch: Clips) -> np.ndarray:
        rows = [model(torch.from_numpy(clip.copy())[None], l2_norm=True) for clip in batch]
        return torch.cat(rows).numpy()

    return embed, written({"model": model.state_dict()}, "model_se.pth")


def written(content: dict, name: str) -> Path:
    """A checkpoint of the original, for the port to read."""
    import torch

    path = Path(tempfile.mkdtemp()) / name
    torch.save(content, path)
    return path


ORIGINALS = {
    "resemblyzer": original_resemblyzer,
    "ecapa_tdnn": original_ecapa,
    "coqui": original_coqui,
}

if __name__ == "__main__":
    sys.exit(run(main, parser()))
