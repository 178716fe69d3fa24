"""A small XTTS of Coqui's own classes, and its checkpoint folder; needs coqui-tts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from myxtts.text.tokenizer import train_tokenizer
from tests.golden.cases import draw_weights

STOP_PENALTY = 2.5
SIZES = {"layers": 2, "channels": 64, "heads": 4, "codes": 48}
TEXTS = ("Hello there.", "It was 5 o'clock.", "The birch canoe slid on the smooth planks.")


def write_checkpoint(folder: Path):
    """Write the folder as ``hf download coqui/XTTS-v2`` gives it; return the torch model."""
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
    from TTS.tts.layers.xtts.dvae import DiscreteVAE
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer([(text, "en") for text in TEXTS], 300)
    tokenizer.save(folder / "vocab.json")
    codes = SIZES["codes"]
    args = XttsArgs(
        gpt_layers=SIZES["layers"],
        gpt_n_model_channels=SIZES["channels"],
        gpt_n_heads=SIZES["heads"],
        gpt_number_text_tokens=tokenizer.vocab_size,
        gpt_start_text_token=tokenizer.start_id,
        gpt_stop_text_token=tokenizer.stop_id,
        gpt_num_audio_tokens=codes + 2,
        gpt_start_audio_token=codes,
        gpt_stop_audio_token=codes + 1,
        gpt_max_audio_tokens=110,
        gpt_max_text_tokens=80,
        gpt_use_perceiver_resampler=True,
        decoder_input_dim=SIZES["channels"],
        tokenizer_file=str(folder / "vocab.json"),
    )
    config = XttsConfig(model_args=args)
    model = Xtts(config)
    model.init_models()
    # Random weights would rather be silent; now they speak for a while.
    redraw(model)
    model.gpt.mel_head.bias.data[codes + 1] -= STOP_PENALTY
    state = {key: value.clone() for key, value in model.state_dict().items()}
    stats = torch.from_numpy(np.random.default_rng(5).uniform(3, 8, 80).astype("float32"))
    model.mel_stats.copy_(stats)
    state["mel_stats"] = stats
    torch.save({"model": state, "config": config}, folder / "model.pth")
    torch.save(stats, folder / "mel_stats.pth")
    dvae = DiscreteVAE(
        channels=80,
        positional_dims=1,
        num_tokens=codes,
        codebook_dim=16,
        hidden_dim=16,
        num_resnet_blocks=2,
        kernel_size=3,
        num_layers=2,
        use_transposed_convs=False,
    )
    torch.save(redraw(dvae), folder / "dvae.pth")
    config.save_json(str(folder / "config.json"))
    model.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
    model.eval()
    return model, dvae.eval()


def redraw(module: torch.nn.Module) -> dict:
    """Give trained-looking weights, drawn with numpy; the state dictionary with them."""
    kept = ("torch_spec", "discrete_loss")
    shapes = {
        key: tuple(value.shape)
        for key, value in module.state_dict().items()
        if not any(part in key for part in kept)
    }
    drawn = {key: torch.from_numpy(np.asarray(a)) for key, a in draw_weights(shapes).items()}
    module.load_state_dict(drawn, strict=False)
    return {key: value.clone() for key, value in module.state_dict().items()}
