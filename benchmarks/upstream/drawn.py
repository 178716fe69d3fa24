"""Weights and sounds drawn from a seed, in the place of trained weights and of speech."""

from __future__ import annotations

import numpy as np

from myxtts.timing import MODEL_RATE as RATE

Arrays = dict[str, np.ndarray]

# With it random weights speak on; a test that wants an end raises the stop code's bias.
STOP_PENALTY = 2.5


def draw_weights(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Arrays:
    """Trained-looking numbers for every key: norms near one, positive variances."""
    return {
        key: _draw(key, shapes[key], np.random.default_rng([seed, index]))
        for index, key in enumerate(sorted(shapes))
    }


def draw_xtts(shapes: dict[str, tuple[int, ...]]) -> Arrays:
    """:func:`draw_weights` for a state of Coqui's ``Xtts``, that speaks on and on."""
    arrays = draw_weights(shapes)
    arrays["mel_stats"] = np.random.default_rng(5).uniform(3, 8, 80).astype("float32")
    arrays["gpt.mel_head.bias"][-1] -= STOP_PENALTY
    return arrays


def sound(seconds: float, seed: int | np.random.Generator = 0) -> np.ndarray:
    """Tones ``(samples,)`` at 22.05 kHz that change pitch, timbre, level and breath often."""
    rng = np.random.default_rng(seed)
    pieces = [_tone(rng) for _ in range(int(np.ceil(seconds * 8)))]
    return np.concatenate(pieces)[: int(seconds * RATE)].astype("float32")


def _draw(key: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if key.endswith("running_var"):
        return rng.uniform(0.5, 2.0, shape).astype("float32")
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, "int64")
    values = rng.normal(size=shape).astype("float32")
    is_norm = any(part in key for part in ("norm", "bn", "ln_", "gamma", "original0"))
    if is_norm and key.endswith(("weight", "gamma", "original0")):
        return 1.0 + 0.2 * values
    if len(shape) < 2:
        return 0.1 * values
    # Small embeddings would make the greedy codes one code said over and over.
    if key.startswith("codebook") or "embedding" in key:
        return values
    fan_in = np.prod(shape) / shape[0]
    return values * np.float32(1.2 / np.sqrt(fan_in))


def _tone(rng: np.random.Generator) -> np.ndarray:
    time = np.arange(RATE // 8 + 1) / RATE
    pitch, slope = rng.uniform(80, 400), rng.uniform(0.3, 2)
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k**slope for k in range(1, 20))
    breath = rng.normal(size=len(time))
    return 10 ** rng.uniform(-3, -0.7) * (rng.uniform() * tone + rng.uniform() * breath)
