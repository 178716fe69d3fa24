"""A micro model whose decoder is the istft one, without training everything again."""

from pathlib import Path

from myxtts.config import XTTSConfig
from myxtts.models.xtts import XTTS

SIZES = {
    "dim": 16,
    "code_blocks": 1,
    "code_lookahead": 1,
    "frame_blocks": 2,
    "frame_kernel": 5,
    "frame_lookahead": 3,
}


def istft_config(config: XTTSConfig, source: str = "none") -> XTTSConfig:
    """``config`` with a small istft decoder."""
    sizes = SIZES | {"source": source}
    return config.merged({"model": {"decoder": {"kind": "istft", "istft": sizes}}})


def as_preset(trained, config: XTTSConfig, folder: Path, source: str = "none") -> Path:
    """A preset with the other parts of a trained one, and an istft decoder as it is born."""
    other, model = XTTS.from_preset(trained.preset), XTTS(istft_config(config, source), None)
    model.tokenizer = other.tokenizer
    for name, part in model.parts().items():
        if name != "decoder":
            part.set_weights(other.parts()[name].get_weights())
    model.trained_steps = {"dvae": 4, "gpt": 4, "decoder": 1}
    model.save_to_preset(folder / "preset")
    return folder / "preset"
