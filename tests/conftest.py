"""Fixtures that several rooms share."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from myxtts.config import XTTSConfig

MICRO = {
    "model": {
        "dvae": {"hidden_dim": 16, "codebook_dim": 16, "num_codes": 32, "num_resnet_blocks": 1},
        "gpt": {
            "layers": 2,
            "model_dim": 32,
            "heads": 2,
            "num_text_tokens": 300,
            "max_text_tokens": 60,
            "max_audio_tokens": 80,
        },
        "conditioning": {
            "num_blocks": 1,
            "num_latents": 4,
            "perceiver_depth": 1,
            "perceiver_heads": 2,
            "perceiver_head_dim": 16,
        },
        "speaker": {"embedding_dim": 16, "blocks": [1, 1], "channels": [8, 8]},
        "ecapa": {
            "channels": [24, 32, 32, 32, 96],
            "attention_dim": 16,
            "res2net_scale": 4,
            "squeeze_dim": 8,
            "embedding_dim": 24,
        },
        "coqui_encoder": {
            "embedding_dim": 24,
            "blocks": [2, 1, 1, 1],
            "channels": [8, 16, 24, 32],
        },
        "wavlm": {
            "conv_channels": [16] * 7,
            "hidden_dim": 16,
            "layers": 2,
            "heads": 2,
            "feed_forward_dim": 24,
            "position_kernel": 16,
            "position_groups": 4,
            "position_buckets": 40,
            "position_distance": 60,
            "head_channels": [16, 16, 16, 16, 24],
            "head_dim": 24,
            "normalise": True,
        },
        "decoder": {
            "initial_channels": 32,
            "resblock_kernels": [3],
            "resblock_dilations": [1],
        },
    },
    "training": {
        "dvae": {"steps": 4, "batch_size": 4, "warmup_steps": 1},
        "gpt": {"steps": 4, "batch_size": 4, "warmup_steps": 1},
        "decoder": {"steps": 2, "batch_size": 2, "warmup_steps": 1},
        "segment_codes": 4,
        "adversarial_start": 2,
        "validate_every": 2,
        "checkpoint_every": 2,
    },
}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder ``shared/data`` beside the checkout; tests that want it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real recordings (../shared/data) are not beside the checkout")
    return folder


@pytest.fixture(scope="session")
def sv2tts_fixtures() -> Path:
    """Folder of numbers that Real-Time-Voice-Cloning made; tests of parity skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "sv2tts_fixtures"
    if not folder.is_dir():
        pytest.skip("numbers of Real-Time-Voice-Cloning (../shared) are not beside the checkout")
    return folder


@pytest.fixture(scope="session")
def micro_config() -> XTTSConfig:
    """A model small enough to train within a test."""
    return XTTSConfig().merged(MICRO)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """A ``metadata.jsonl`` corpus of six hummed clips by two speakers."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def trained(micro_config, corpus, tmp_path_factory):
    """Result of a few steps of every stage on ``corpus``."""
    from myxtts.training.run import train

    folder = tmp_path_factory.mktemp("run")
    return train(run_config(micro_config, corpus, folder))


def run_config(config: XTTSConfig, corpus: Path, output: Path, **training) -> XTTSConfig:
    """``config`` on ``corpus`` into ``output``, with changes of its training section."""
    data = {"train_data": str(corpus), "val_data": str(corpus)}
    return config.merged({"data": data, "training": {"output_dir": str(output), **training}})


def write_corpus(folder: Path, clips: int = 6) -> Path:
    """Write hummed clips of about a second with words, two speakers in turn."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(clips):
        audio = hum(0.9 + 0.1 * number, pitch=110 * (1 + number % 2), rng=rng)
        soundfile.write(folder / f"clip_{number}.wav", audio, 22_050)
        lines.append(
            {
                "file_name": f"clip_{number}.wav",
                "text": f"This is clip number {number}.",
                "speaker": f"speaker_{number % 2}",
            }
        )
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return folder


def hum(seconds: float, pitch: float, rng: np.random.Generator, rate: int = 22_050) -> np.ndarray:
    """A voice-like tone: harmonics under a slow envelope, and a little noise."""
    time = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 8))
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)
    return (0.15 * tone * envelope + 0.01 * rng.normal(size=len(time))).astype("float32")
