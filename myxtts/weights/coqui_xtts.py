"""An XTTS-v2 checkpoint folder of Coqui to an :class:`~myxtts.models.xtts.XTTS`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.config import XTTSConfig
from myxtts.errors import WeightsError
from myxtts.models.xtts import XTTS
from myxtts.presets.variables import file_sha256
from myxtts.text.tokenizer import VoiceBpeTokenizer
from myxtts.weights import coqui_dvae, coqui_gpt, coqui_hifigan, coqui_resnet
from myxtts.weights.coqui_gpt import below
from myxtts.weights.torch_file import read_torch_file, read_torch_tensor

LICENCE = "Coqui Public Model License 1.0.0 (non-commercial): https://coqui.ai/cpml"
FILES = ("config.json", "model.pth", "vocab.json", "dvae.pth", "mel_stats.pth")
COMMAND = "hf download coqui/XTTS-v2 --local-dir XTTS-v2"

DECODER = "hifigan_decoder.waveform_decoder."
SPEAKER = "hifigan_decoder.speaker_encoder."
# A trainer's checkpoint has its own front-ends and a copy of the DVAE beside the model.
LEFT_OUT = ("torch_mel_spectrogram_", "dvae.")

# What the architecture here takes for granted; another value is another architecture.
FIXED = {
    "gpt_use_perceiver_resampler": True,
    "gpt_code_stride_len": 1024,
    "input_sample_rate": 22_050,
    "output_sample_rate": 24_000,
    "output_hop_length": 256,
    "cond_d_vector_in_each_upsampling_layer": True,
}
# How Coqui's program runs, or what nothing reads any more.
UNUSED = """
    gpt_batch_size enable_redaction kv_cache num_chars tokenizer_file duration_const
    gpt_checkpoint clvp_checkpoint decoder_checkpoint
    gpt_max_prompt_tokens gpt_use_masking_gt_prompt_approach
"""
READ = """
    gpt_layers gpt_n_model_channels gpt_n_heads decoder_input_dim d_vector_dim
    gpt_number_text_tokens gpt_max_text_tokens gpt_start_text_token gpt_stop_text_token
    gpt_num_audio_tokens gpt_max_audio_tokens gpt_start_audio_token gpt_stop_audio_token
"""


def convert_checkpoint(source: str | Path) -> XTTS:
    """Read the checkpoint folder ``source`` into a new model.

    Args:
        source: folder of ``config.json``, ``model.pth``, ``vocab.json``, ``dvae.pth`` and
            ``mel_stats.pth``.

    Raises:
        WeightsError: a file is missing or unreadable, the configuration asks for another
            architecture, or keys and shapes do not fit.
    """
    source = Path(source)
    missing = [name for name in FILES if not (source / name).is_file()]
    if missing:
        raise WeightsError(
            f"{source} lacks {', '.join(missing)} of an XTTS-v2 checkpoint; get it with: {COMMAND}"
        )
    tokenizer = VoiceBpeTokenizer(source / "vocab.json")
    dvae = read_torch_file(source / "dvae.pth")
    config = read_configuration(source / "config.json", tokenizer, dvae)
    model = XTTS(config, tokenizer)
    coqui_dvae.load(model.dvae, dvae)
    load_model(model, read_torch_file(source / "model.pth", "model", ("xtts.", "")))
    _check_mel_stats(model, source / "mel_stats.pth")
    model.trained_steps = {"dvae": 1, "gpt": 1, "decoder": 1}
    model.licence = LICENCE
    model.source = {name: file_sha256(source / name) for name in FILES}
    return model


def load_model(model: XTTS, arrays: Mapping[str, np.ndarray]) -> None:
    """Set everything but the DVAE from the keys of ``model.pth``.

    Raises:
        WeightsError: keys or shapes do not fit, or a key has no place here.
    """
    own = {k: v for k, v in arrays.items() if not k.startswith(LEFT_OUT)}
    gpt = below(own, "gpt.")
    places = ("gpt.", DECODER, SPEAKER)
    unknown = [key for key in own if key != "mel_stats" and not key.startswith(places)]
    if unknown or "mel_stats" not in own:
        named = ", ".join(unknown[:3]) or "none"
        raise WeightsError(f"model.pth lacks mel_stats, or has keys without a place here: {named}.")
    coqui_gpt.load(model.gpt, gpt)
    coqui_gpt.load_conditioning(model.audio_encoder.conditioning_encoder, gpt)
    coqui_gpt.load_perceiver(model.audio_encoder.perceiver, gpt)
    coqui_hifigan.load(model.decoder, below(own, DECODER))
    coqui_resnet.load(model.audio_encoder.speaker_encoder, below(own, SPEAKER))
    model.set_mel_stats(own["mel_stats"])


def read_configuration(
    path: Path, tokenizer: VoiceBpeTokenizer, dvae: Mapping[str, np.ndarray]
) -> XTTSConfig:
    """The configuration that ``config.json`` and the DVAE's shapes describe.

    Raises:
        WeightsError: it cannot be read, or describes another architecture.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        args = dict(values["model_args"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is no configuration of XTTS: {error!r}.") from error
    _check_arguments(path, args, dvae)
    gpt = {
        "layers": args["gpt_layers"],
        "model_dim": args["gpt_n_model_channels"],
        "heads": args["gpt_n_heads"],
        "num_text_tokens": args["gpt_number_text_tokens"] or tokenizer.vocab_size,
        "max_text_tokens": args["gpt_max_text_tokens"],
        "max_audio_tokens": args["gpt_max_audio_tokens"],
        "start_text_token": tokenizer.start_id,
        "stop_text_token": tokenizer.stop_id,
    }
    model = {
        "gpt": gpt,
        "dvae": _dvae_sizes(dvae),
        "speaker": {"embedding_dim": args["d_vector_dim"]},
    }
    return XTTSConfig.preset("xtts_v2").merged(
        {"model": model, "synthesis": _synthesis(values)}, source=str(path)
    )


def _check_arguments(path: Path, args: dict[str, Any], dvae: Mapping[str, np.ndarray]) -> None:
    read = set(READ.split())
    unknown = sorted(set(args) - read - set(UNUSED.split()) - set(FIXED))
    missing = sorted(read - set(args))
    if unknown or missing:
        raise WeightsError(
            f"{path}: model_args has {', '.join(unknown) or 'nothing'} unknown here and lacks "
            f"{', '.join(missing) or 'nothing'}."
        )
    codes = dvae["codebook.embed"].shape[1]
    expected = FIXED | {
        "gpt_num_audio_tokens": codes + 2,
        "gpt_start_audio_token": codes,
        "gpt_stop_audio_token": codes + 1,
        "decoder_input_dim": args["gpt_n_model_channels"],
    }
    for name, value in expected.items():
        if args.get(name, value) != value:
            raise WeightsError(f"{path}: {name} is {args[name]!r}; only {value!r} is supported.")


def _dvae_sizes(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    dim, codes = arrays["codebook.embed"].shape
    blocks = sum(key.startswith("encoder.") and key.endswith("net.0.weight") for key in arrays)
    return {
        "hidden_dim": arrays["encoder.0.0.weight"].shape[0],
        "codebook_dim": dim,
        "num_codes": codes,
        "num_resnet_blocks": blocks,
    }


def _synthesis(values: dict[str, Any]) -> dict[str, Any]:
    """Coqui's own settings of synthesis, where the file has them."""
    sampling = ("temperature", "top_k", "top_p", "repetition_penalty")
    names = (*sampling, "num_beams", "length_penalty")
    return {name: values[name] for name in names if name in values}


def _check_mel_stats(model: XTTS, path: Path) -> None:
    """The DVAE was trained with the statistics of its own file: they must be the model's."""
    stored = read_torch_tensor(path)
    if not np.allclose(stored, np.asarray(model.mel_norm.mel_stats)):
        raise WeightsError(f"{path} does not hold the mel_stats of model.pth.")
