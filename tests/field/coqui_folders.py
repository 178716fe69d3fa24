"""Small XTTS-v2 folders as people keep them: weights drawn by the shapes of the golden file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.upstream.drawn import draw_weights, draw_xtts

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "xtts.npz"
# What a GPT trainer adds to ``model_args``.
TRAINERS = {
    "min_conditioning_length": 66150,
    "max_conditioning_length": 132300,
    "gpt_loss_text_ce_weight": 0.01,
    "gpt_loss_mel_ce_weight": 1.0,
    "debug_loading_failures": False,
    "max_wav_length": 255995,
    "max_text_length": 200,
    "mel_norm_file": "https://example.org/mel_norms.pth",
    "dvae_checkpoint": "",
    "xtts_checkpoint": "",
    "vocoder": "",
}


class Source:
    """The parts of a small checkpoint, as torch tensors."""

    def __init__(self):
        import torch

        with np.load(GOLDEN) as archive:
            self.config = json.loads(str(archive["file/config.json"]))
            self.vocabulary = json.loads(str(archive["file/vocab.json"]))
            shapes = json.loads(str(archive["shapes"]))
            codebook = archive["codebook"]
        model, dvae = draw_xtts(shapes["model"]), draw_weights(shapes["dvae"])
        dvae["codebook.embed"] = codebook
        self.model = {key: torch.from_numpy(np.array(value)) for key, value in model.items()}
        self.dvae = {key: torch.from_numpy(np.array(value)) for key, value in dvae.items()}

    def write(self, folder: Path, *names: str, weights: dict | None = None, **config) -> Path:
        """Write the published folder's files, those ``names`` only where some are given."""
        import torch

        folder.mkdir(parents=True, exist_ok=True)
        content = weights or {"model": self.model}
        writers = {
            "config.json": lambda path: path.write_text(json.dumps(self.config | config)),
            "vocab.json": lambda path: path.write_text(json.dumps(self.vocabulary)),
            "model.pth": lambda path: torch.save(content, path),
            "dvae.pth": lambda path: torch.save(self.dvae, path),
            "mel_stats.pth": lambda path: torch.save(self.model["mel_stats"].clone(), path),
        }
        for name in names or writers:
            writers[name](folder / name)
        return folder
