"""The model card that lies beside the weights of a converted or fine-tuned preset."""

from __future__ import annotations

from pathlib import Path

import myxtts
from myxtts.models.xtts import XTTS
from myxtts.presets.hub import CARD

__all__ = ["CARD", "inherit_card", "write_card"]


def write_card(folder: str | Path, model: XTTS) -> None:
    """Write ``README.md`` of a preset converted from Coqui's checkpoint folder.

    Args:
        folder: of the saved preset.
        model: the converted model.
    """
    sizes = model.config.model
    parameters = sum(part.count_params() for part in model.parts().values())
    lines = [
        "# XTTS-v2, converted for MyXTTS",
        "",
        f"Licence of the weights: {model.licence}.",
        "",
        f"- {parameters:,} parameters: a GPT of {sizes.gpt.layers} layers of "
        f"{sizes.gpt.model_dim}, a discrete VAE, a speaker encoder and a HiFi-GAN decoder; "
        "input 22.05 kHz, output 24 kHz.",
        f"- Languages: {', '.join(model.tokenizer.languages)}.",
        f"- Converted by MyXTTS {myxtts.__version__} from these files (SHA-256):",
        *[f"  - `{name}` {digest}" for name, digest in model.source.items()],
        "",
        "With the same weights, conditioning, logits, latents and waveform are those of "
        "coqui-tts within 1e-4 (waveform 1e-3) relative, and greedy codes are the same; "
        "`synthesis.coqui_compatible` keeps Coqui's treatment of the codes 1 and 1024.",
        "",
        "Limits: the voice of a person may be cloned only with that person's consent; long "
        "texts are spoken in pieces; speech may still repeat or skip words, which the flags "
        "of a result report.",
        "",
    ]
    (Path(folder) / CARD).write_text("\n".join(lines), encoding="utf-8")


def inherit_card(source: str | Path, folder: str | Path) -> None:
    """Give the preset ``folder`` the card of ``source``, which it was fine-tuned from.

    The licence goes with the weights. A preset without a card hands none on.
    """
    card = Path(source) / CARD
    if card.is_file() and Path(folder).is_dir():
        text = card.read_text(encoding="utf-8")
        own = f"Fine-tuned from the model that the rest of this card describes ({source}).\n\n"
        (Path(folder) / CARD).write_text(own + text, encoding="utf-8")
