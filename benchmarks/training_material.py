"""One batch and one checkpoint for both sides of ``benchmarks/training_coqui.py``.

Coqui's own classes write the checkpoint, which is converted: both sides begin with the same
weights, and see the same recordings and texts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.upstream.drawn import RATE, sound
from myxtts.timing import FRAMES_PER_CODE, HOP_LENGTH, OUTPUT_RATE, SPEAKER_RATE

# Layers, width and heads of the GPT. DVAE, decoder and speaker encoder are XTTS-v2's: the sizes
# of Coqui's trainer are fixed.
SIZES = {"tiny": (2, 64, 4), "small": (8, 512, 8), "full": (30, 1024, 16)}
# Of an utterance, so that no side pads: codes, text ids, and codes of the prompt.
CODES, TEXT, PROMPT = 64, 48, 32
# Of a crop for the DVAE.
CROP_FRAMES = 128
# Of the decoder's segments.
SEGMENT_CODES = 16
# Utterances of a batch, by stage; crops are many, and segments dear.
ROWS = {"gpt": 4, "dvae": 8, "decoder": 2}
CHECKPOINT, PRESET, BATCH = "checkpoint", "preset", "batch.npz"


def write_material(folder: Path, size: str) -> None:
    """Write checkpoint, preset and batch to ``folder``, unless they are there."""
    if (folder / BATCH).is_file():
        return
    from benchmarks.upstream.coqui import Sizes, write_checkpoint
    from myxtts.weights.coqui_xtts import convert_checkpoint

    sizes = Sizes(*SIZES[size], text_tokens=None, dvae_channels=512, dvae_blocks=3)
    write_checkpoint(folder / CHECKPOINT, sizes)
    convert_checkpoint(folder / CHECKPOINT).save_to_preset(folder / PRESET)
    with (folder / BATCH).open("wb") as file:
        np.savez(file, **drawn_batch())


def drawn_batch() -> dict[str, np.ndarray]:
    """Waves ``(rows, samples)`` at each rate, text ids, and crops of waves for the DVAE."""
    rng = np.random.default_rng(0)
    rows = max(ROWS["gpt"], ROWS["decoder"])
    # The last window of a mel would want a sample more than the hops have.
    samples = CODES * FRAMES_PER_CODE * HOP_LENGTH - HOP_LENGTH
    waves = np.stack([sound(samples / RATE, seed)[:samples] for seed in range(rows)])
    crop = CROP_FRAMES * HOP_LENGTH - HOP_LENGTH
    crops = np.stack([sound(crop / RATE, 100 + seed)[:crop] for seed in range(ROWS["dvae"])])
    return {
        "text": rng.integers(10, 250, (rows, TEXT)).astype("int32"),
        "wave": waves,
        "crops": crops,
        "wave_24k": _at(waves, OUTPUT_RATE),
        "prompt_16k": _at(waves[:, : prompt_samples()], SPEAKER_RATE),
    }


def prompt_samples() -> int:
    """Samples of the first codes of an utterance, which are its own reference."""
    return PROMPT * FRAMES_PER_CODE * HOP_LENGTH - HOP_LENGTH


def _at(waves: np.ndarray, rate: int) -> np.ndarray:
    """Linearly read at another rate: what it sounds like does not matter here."""
    count = waves.shape[1] * rate // RATE
    places = np.arange(count) * RATE / rate
    known = np.arange(waves.shape[1])
    return np.stack([np.interp(places, known, row) for row in waves]).astype("float32")
