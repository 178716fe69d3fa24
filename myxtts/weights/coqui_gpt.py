"""Coqui's XTTS ``GPT`` to its Keras parts: conditioning encoder, Perceiver and GPT.

In an XTTS-v2 checkpoint its keys start with ``gpt.``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myxtts.models.conditioning import ConditioningEncoder, PerceiverResampler
from myxtts.models.gpt import GPT
from myxtts.weights.conversion import Rule, affine, convert, identity, linear, norm, pointwise

CONDITIONING = "conditioning_encoder."
PERCEIVER = "conditioning_perceiver."
IGNORED = {
    "gpt.wte.weight": "the audio embedding again",
    "gpt_inference.*": "the whole GPT again",
    "gpt.h.*.attn.bias": "causal mask of older libraries",
    "gpt.h.*.attn.masked_bias": "causal mask of older libraries",
}


def conditioning_rules(encoder: ConditioningEncoder) -> list[Rule]:
    """Rules of every weight of the conditioning encoder."""
    result = affine("init", "stem", pointwise)
    for index in range(encoder.num_blocks):
        source, target = f"attn.{index}", f"block_{index}"
        result += norm(f"{source}.norm", f"{target}/norm")
        result += affine(f"{source}.qkv", f"{target}/qkv", pointwise)
        result += affine(f"{source}.proj_out", f"{target}/proj_out", pointwise)
    return result


def perceiver_rules(perceiver: PerceiverResampler) -> list[Rule]:
    """Rules of every weight of the Perceiver resampler."""
    result = [Rule("latents", "latents"), Rule("norm.gamma", "norm/gamma")]
    for index in range(perceiver.depth):
        source, attention = f"layers.{index}", f"attention_{index}"
        result += [
            Rule(f"{source}.0.{name}.weight", f"{attention}/{name}/kernel", linear)
            for name in ("to_q", "to_kv", "to_out")
        ]
        result += affine(f"{source}.1.0", f"feed_forward_{index}/to_gated", linear)
        result += affine(f"{source}.1.2", f"feed_forward_{index}/to_out", linear)
    return result


def gpt_rules(gpt: GPT) -> list[Rule]:
    """Rules of every weight of the GPT itself."""
    result = [
        Rule("text_embedding.weight", "text_embedding/embeddings"),
        Rule("mel_embedding.weight", "audio_embedding/embeddings"),
        Rule("text_pos_embedding.emb.weight", "text_positions/embeddings"),
        Rule("mel_pos_embedding.emb.weight", "audio_positions/embeddings"),
        *norm("gpt.ln_f", "ln_f"),
        *norm("final_norm", "final_norm"),
        *affine("text_head", "text_head", linear),
        *affine("mel_head", "audio_head", linear),
    ]
    # GPT-2 keeps these matrices as (in, out) already.
    matrices = {
        "attn.c_attn": "qkv",
        "attn.c_proj": "attention_out",
        "mlp.c_fc": "expand",
        "mlp.c_proj": "contract",
    }
    for index in range(gpt.num_layers):
        source, target = f"gpt.h.{index}", f"block_{index}"
        result += norm(f"{source}.ln_1", f"{target}/ln_1")
        result += norm(f"{source}.ln_2", f"{target}/ln_2")
        for theirs, ours in matrices.items():
            result += affine(f"{source}.{theirs}", f"{target}/{ours}", identity)
    return result


def load_conditioning(encoder: ConditioningEncoder, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the conditioning encoder from the keys under ``conditioning_encoder.``."""
    convert(below(arrays, CONDITIONING), conditioning_rules(encoder), encoder)


def load_perceiver(perceiver: PerceiverResampler, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the Perceiver from the keys under ``conditioning_perceiver.``."""
    convert(below(arrays, PERCEIVER), perceiver_rules(perceiver), perceiver)


def load(gpt: GPT, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the GPT from a state dictionary, its conditioning parts left aside.

    Raises:
        WeightsError: the two do not fit.
    """
    own = {k: v for k, v in arrays.items() if not k.startswith((CONDITIONING, PERCEIVER))}
    convert(own, gpt_rules(gpt), gpt, IGNORED)


def below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose keys start with ``prefix``, without it."""
    return {key.removeprefix(prefix): v for key, v in arrays.items() if key.startswith(prefix)}
