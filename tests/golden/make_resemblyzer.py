"""Write the golden twin of Resemblyzer: ``python -m tests.golden.make_resemblyzer``.

Needs ``resemblyzer`` and torch. The upstream's classes run under weights drawn from
a seed, so the file holds clips, mels and embeddings, and no weights.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from resemblyzer import VoiceEncoder
from resemblyzer.audio import normalize_volume, wav_to_mel_spectrogram

from benchmarks.upstream.drawn import draw_weights

COMMAND = "python -m tests.golden.make_resemblyzer"
TARGET = Path(__file__).with_name("resemblyzer.npz")
# Shorter than a partial utterance; a last one that counts; one that does not; a quiet clip.
CLIPS = {"short": (9_001, 0.2), "long": (47_000, 0.2), "dropped": (40_000, 0.2), "quiet": (
    30_000, 0.002)}  # fmt: skip
SAMPLES = np.array([1, 1000, 25_599, 25_600, 25_601, 31_000, 31_520, 37_920, 37_921, 100_000])


def clip(samples: int, level: float, rng: np.random.Generator) -> np.ndarray:
    """A gliding voice-like tone in noise, int16."""
    time = np.arange(samples) / 16_000
    phase = 2 * np.pi * (120 * time + 25 * time**2)
    tone = sum(np.sin(k * phase) / k for k in range(1, 9))
    audio = level * (tone * (0.6 + 0.4 * np.sin(19 * time)) + 0.2 * rng.normal(size=samples))
    return np.round(np.clip(audio, -1, 1) * 32_767).astype("int16")


def main() -> None:
    encoder = VoiceEncoder("cpu", verbose=False)
    shapes = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    drawn = {key: torch.from_numpy(value) for key, value in draw_weights(shapes).items()}
    encoder.load_state_dict(drawn)
    rng = np.random.default_rng(1)
    stored = {name: clip(*sizes, rng) for name, sizes in CLIPS.items()}
    arrays = {}
    for name, values in stored.items():
        audio = normalize_volume(values.astype("float32") / 32_768, -30, increase_only=True)
        arrays[f"clip/{name}"] = values
        arrays[f"embedding/{name}"] = encoder.embed_utterance(audio.astype("float32"))
    counts = [len(encoder.compute_partial_slices(int(n), 1.3, 0.75)[0]) for n in SAMPLES]
    np.savez_compressed(
        TARGET,
        command=COMMAND,
        shapes=json.dumps(shapes),
        samples=SAMPLES,
        partials=np.array(counts),
        mel=wav_to_mel_spectrogram(stored["short"].astype("float32") / 32_768),
        **arrays,
    )
    print(TARGET, TARGET.stat().st_size)


if __name__ == "__main__":
    main()
