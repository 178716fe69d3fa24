"""Utterances a second of the three speaker encoders beside their torch originals.

    python benchmarks/speaker_encoders.py [--clips DIR] [--encoder NAME] [--json]

Needs torch, coqui-tts, speechbrain and resemblyzer (`make reference`). ECAPA-TDNN and
Coqui's encoder have random weights of full size, converted from the original; speed does
not depend on them. Original and port take turns on the same clips, one clip at a time and
in batches; the ratio is the median over the rounds of the two times in one round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import tensorflow as tf  # noqa: E402

from myxtts.audio.io import SUFFIXES, padded, read_audio  # noqa: E402
from myxtts.config import SPEAKER_ENCODER_TYPES  # noqa: E402
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder  # noqa: E402
from myxtts.timing import SPEAKER_RATE  # noqa: E402
from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder  # noqa: E402

Clips = list[np.ndarray]


def main() -> None:
    args = arguments()
    clips = read_clips(Path(args.clips), args.count)
    results = []
    for name in args.encoder or SPEAKER_ENCODER_TYPES:
        original, port = make_pair(name)
        for batch_size in (1, args.batch_size):
            result = compare(original, port, clips, batch_size, args.rounds)
            results.append({"encoder": name, "batch": batch_size, **result})
            print(row(results[-1]), file=sys.stderr)
    seconds = sum(len(clip) for clip in clips) / SPEAKER_RATE
    print(json.dumps({"clips": len(clips), "seconds": round(seconds, 1), "results": results}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--clips", default=ROOT / "examples" / "demo_corpus", help="folder of recordings"
    )
    parser.add_argument("--count", type=int, default=32, help="clips that are used")
    parser.add_argument("--batch-size", type=int, default=8, help="clips a batch")
    parser.add_argument("--rounds", type=int, default=7, help="times each side runs")
    parser.add_argument(
        "--encoder", action="append", choices=SPEAKER_ENCODER_TYPES, help="only this one"
    )
    return parser.parse_args()


def read_clips(folder: Path, count: int) -> Clips:
    """Clips ``(samples,)`` at 16 kHz, spread over the folder, in order of length."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    files = files[:: max(1, len(files) // count)][:count]
    return sorted((read_audio(path, SPEAKER_RATE)[0] for path in files), key=len)


def make_pair(name: str) -> tuple[Callable, Callable]:
    """The original and the port under the same weights, each from a batch to embeddings."""
    original, file = ORIGINALS[name]()
    encoder = PretrainedSpeakerEncoder(name)
    load_pretrained_speaker_encoder(encoder, file)
    signature = [tf.TensorSpec((None, None)), tf.TensorSpec((None,), "int32")]
    embed = tf.function(lambda audio, lengths: encoder(audio, lengths), signature, autograph=False)

    def port(batch: Sequence[np.ndarray]) -> np.ndarray:
        return embed(*padded(batch)).numpy()

    return original, port


def compare(original: Callable, port: Callable, clips: Clips, batch_size: int, rounds: int) -> dict:
    """Utterances a second of both, their ratio, and the least cosine between embeddings."""
    batches = [clips[start : start + batch_size] for start in range(0, len(clips), batch_size)]
    cosine = 1.0
    times: dict[Callable, list[float]] = {original: [], port: []}
    for number in range(rounds + 1):
        outputs = {}
        for side in times:
            start = time.perf_counter()
            outputs[side] = np.concatenate([side(batch) for batch in batches])
            if number:
                times[side].append(time.perf_counter() - start)
        cosine = min(cosine, cosines(outputs[original], outputs[port]).min())
    ratios = [theirs / ours for theirs, ours in zip(*times.values(), strict=True)]
    speeds = {side: len(clips) / statistics.median(values) for side, values in times.items()}
    return {
        "original_per_second": round(speeds[original], 2),
        "port_per_second": round(speeds[port], 2),
        "ratio": round(statistics.median(ratios), 2),
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


def original_resemblyzer() -> tuple[Callable, None]:
    """``embed_utterance`` clip by clip: the package has no batches of clips."""
    import resemblyzer

    encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)
    return lambda batch: np.stack([encoder.embed_utterance(louder(clip)) for clip in batch]), None


def louder(clip: np.ndarray) -> np.ndarray:
    """The volume that the port sees to inside; silences stay in on both sides."""
    from resemblyzer.audio import normalize_volume

    return normalize_volume(clip, -30, increase_only=True).astype("float32")


def original_ecapa() -> tuple[Callable, Path]:
    """SpeechBrain's pipeline of ``encode_batch``."""
    import torch
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    model = ECAPA_TDNN(80, lin_neurons=192, channels=[1024, 1024, 1024, 1024, 3072]).eval()
    features = Fbank(n_mels=80)
    normalise = InputNormalization(norm_type="sentence", std_norm=False)

    @torch.no_grad()
    def embed(batch: Sequence[np.ndarray]) -> np.ndarray:
        audio, lengths = padded(batch)
        shares = torch.from_numpy((lengths / lengths.max()).astype("float32"))
        mels = normalise(features(torch.from_numpy(audio)), shares)
        return model(mels, shares)[:, 0].numpy()

    return embed, written(model.state_dict(), "embedding_model.ckpt")


def original_coqui() -> tuple[Callable, Path]:
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
    model = ResNetSpeakerEncoder(
        log_input=True, use_torch_spec=True, audio_config=audio_config
    ).eval()

    @torch.no_grad()
    def embed(batch: Sequence[np.ndarray]) -> np.ndarray:
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
    main()
