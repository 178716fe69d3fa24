"""Coqui's ``config.json`` of an XTTS to the settings here."""

from __future__ import annotations

import fnmatch
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.config import XTTSConfig
from myxtts.errors import WeightsError
from myxtts.text.tokenizer import VoiceBpeTokenizer

logger = logging.getLogger(__name__)

# What the architecture here takes for granted; another value is another architecture.
FIXED = {
    "gpt_use_perceiver_resampler": True,
    "gpt_code_stride_len": 1024,
    "input_sample_rate": 22_050,
    "output_sample_rate": 24_000,
    "output_hop_length": 256,
    "cond_d_vector_in_each_upsampling_layer": True,
}
# How Coqui's programs run and train, or what nothing reads any more.
UNUSED = """
    gpt_batch_size gpt_checkpoint gpt_max_prompt_tokens gpt_use_masking_gt_prompt_approach
    gpt_loss_* gpt_checkpointing gpt_train_solo_embeddings decoder_checkpoint
"""
# Arguments of these names decide the architecture; all others are of no concern here.
SHAPING = ("gpt_", "decoder_", "d_vector_", "cond_", "input_", "output_")
# What Coqui's program takes for an argument that the file does not have.
READ: dict[str, Any] = {
    "gpt_layers": 30,
    "gpt_n_model_channels": 1024,
    "gpt_n_heads": 16,
    "decoder_input_dim": 1024,
    "d_vector_dim": 512,
    "gpt_number_text_tokens": None,
    "gpt_max_text_tokens": 402,
    "gpt_start_text_token": None,
    "gpt_stop_text_token": None,
    "gpt_num_audio_tokens": 8194,
    "gpt_max_audio_tokens": 605,
    "gpt_start_audio_token": 8192,
    "gpt_stop_audio_token": 8193,
}
# Settings of synthesis by Coqui's names.
SYNTHESIS = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "repetition_penalty": "repetition_penalty",
    "num_beams": "num_beams",
    "length_penalty": "length_penalty",
    "gpt_cond_len": "gpt_cond_len",
    "gpt_cond_chunk_len": "gpt_cond_chunk_len",
    "max_ref_len": "max_ref_length",
    "sound_norm_refs": "sound_norm_refs",
}
# A DVAE that nobody has given, which only keeps its place.
PLACEHOLDER = {"hidden_dim": 16, "codebook_dim": 16, "num_resnet_blocks": 1}


def read_json(path: Path) -> dict[str, Any]:
    """Content of ``config.json``.

    Raises:
        WeightsError: it cannot be read, or has no ``model_args``.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(values["model_args"], dict):
            raise TypeError("model_args is no object")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path} is no configuration of XTTS: {error!r}.") from error
    return values


def read_configuration(
    path: Path,
    tokenizer: VoiceBpeTokenizer,
    dvae: Mapping[str, np.ndarray] | None = None,
    text_tokens: int | None = None,
) -> XTTSConfig:
    """The configuration that ``config.json`` and shapes of the weights describe.

    Args:
        path: of the file; arguments of the trainer's own are left out.
        tokenizer: the text vocabulary.
        dvae: weights of the DVAE; None where there are none.
        text_tokens: entries of the GPT's text embedding; None for what the file says.

    Raises:
        WeightsError: it cannot be read, describes another architecture, or the vocabulary
            has more entries than the weights.
    """
    values = read_json(path)
    args = READ | values["model_args"]
    codes = _codes(path, args, dvae)
    _check_arguments(path, args, codes)
    rows = text_tokens or args["gpt_number_text_tokens"] or tokenizer.vocab_size
    check_vocabulary(path.with_name("vocab.json"), tokenizer.vocab_size, rows)
    gpt = {
        "layers": args["gpt_layers"],
        "model_dim": args["gpt_n_model_channels"],
        "heads": args["gpt_n_heads"],
        "num_text_tokens": rows,
        "max_text_tokens": args["gpt_max_text_tokens"],
        "max_audio_tokens": args["gpt_max_audio_tokens"],
        "start_text_token": tokenizer.start_id,
        "stop_text_token": tokenizer.stop_id,
    }
    model = {
        "gpt": gpt,
        "dvae": _dvae_sizes(dvae) if dvae else PLACEHOLDER | {"num_codes": codes},
        "speaker": {"embedding_dim": args["d_vector_dim"]},
    }
    return XTTSConfig.preset("xtts_v2").merged(
        {"model": model, "synthesis": _synthesis(values)}, source=str(path)
    )


def check_vocabulary(path: Path, tokens: int, rows: int) -> None:
    """Compare the entries of ``vocab.json`` with those of the weights; tell if some are unused.

    Raises:
        WeightsError: the vocabulary has more.
    """
    if tokens > rows:
        raise WeightsError(
            f"{path} has {tokens} tokens, but the weights know {rows}: it is not the vocab.json "
            "they were trained with; put that one in its place."
        )
    if tokens < rows:
        logger.info(
            "note: %s has %d tokens and the weights %d; those beyond are never spoken. If the "
            "model was trained with more languages, its own vocab.json is missing.",
            *(path, tokens, rows),
        )


def _codes(path: Path, args: dict[str, Any], dvae: Mapping[str, np.ndarray] | None) -> int:
    """Audio codes there are; without a DVAE, those that the arguments say."""
    if dvae:
        return dvae["codebook.embed"].shape[1]
    count = args["gpt_num_audio_tokens"]
    if not isinstance(count, int) or count < 3:
        raise WeightsError(f"{path}: gpt_num_audio_tokens is {count!r}, not a count of codes.")
    return count - 2


def _check_arguments(path: Path, args: dict[str, Any], codes: int) -> None:
    known = [*READ, *UNUSED.split(), *FIXED]
    others = [name for name in args if not any(fnmatch.fnmatch(name, item) for item in known)]
    unknown = sorted(name for name in others if name.startswith(SHAPING))
    if unknown:
        raise WeightsError(f"{path}: model_args has {', '.join(unknown)} unknown here.")
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
    found = {ours: values.get(theirs) for theirs, ours in SYNTHESIS.items()}
    return {name: value for name, value in found.items() if value is not None}
