"""Small data sets for vocoders, in the layout of Real-Time-Voice-Cloning."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from myxtts.vocoder_config import VocoderConfig

SMALL = {
    "model": {
        "bits": 6,
        "feat_dims": 5,
        "rnn_dims": 16,
        "fc_dims": 16,
        "compute_dims": 8,
        "res_out_dims": 8,
        "res_blocks": 1,
        "pad": 1,
        "upsample_factors": [2, 5],
    },
    "training": {
        "vocoder": {"steps": 4, "batch_size": 4, "learning_rate": 0.01},
        "validate_every": 2,
        "checkpoint_every": 2,
        "backup_every": 4,
        "heard": 1,
    },
}


def make_vocoder_data(root: Path, utterances: int = 6, feat_dims: int = 5, hop: int = 10) -> Path:
    """Write tones with mels of their loudness below ``root``; the synthesizer's folder.

    The first row has no frames, and none of its files is there.
    """
    synthesizer, vocoder = root / "synthesizer", root / "vocoder"
    for folder in (synthesizer / "audio", synthesizer / "mels", vocoder / "mels_gta"):
        folder.mkdir(parents=True)
    rng, lines = np.random.default_rng(0), ["audio-none.npy|mel-none.npy|embed-none.npy|0|0|Mm."]
    for number in range(utterances):
        frames = 30 + number
        loud = 0.5 + 0.4 * np.sin(np.arange(frames * hop) / 40 + number)
        audio = (loud * np.sin(np.arange(frames * hop) / 3)).astype("float32")
        mel = np.repeat(8 * loud[::hop, None] - 4, feat_dims, axis=1).astype("float32")
        np.save(synthesizer / "audio" / f"audio-{number}.npy", audio[:-5])
        np.save(synthesizer / "mels" / f"mel-{number}.npy", mel)
        noise = 0.1 * rng.normal(size=(frames + 1, feat_dims))
        synthesized = np.pad(mel, [(0, 1), (0, 0)]) + noise
        np.save(vocoder / "mels_gta" / f"mel-{number}.npy", synthesized.astype("float32"))
        names = f"audio-{number}.npy|mel-{number}.npy|embed-{number}.npy"
        lines.append(f"{names}|{len(audio) - 5}|{frames}|Hello, you.")
    for table in (synthesizer / "train.txt", vocoder / "synthesized.txt"):
        table.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return synthesizer


def small_config(folder: Path, run_dir: Path, **training) -> VocoderConfig:
    """Configuration of a run of seconds."""
    values = {"data": {"train_data": str(folder)}, "training": {"output_dir": str(run_dir)}}
    return VocoderConfig().merged(SMALL).merged(values).merged({"training": training})
