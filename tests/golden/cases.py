"""Parity cases: the same small module here and upstream, under the same random weights.

A case's weights are numbers drawn from a seed for the upstream's keys and shapes,
so that a golden file holds inputs, outputs and shapes, and no weights. Nothing
here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.upstream.drawn import Arrays
from myxtts.config import ECAPAConfig
from myxtts.generation.state import generate
from myxtts.models.conditioning import ConditioningEncoder, PerceiverResampler
from myxtts.models.coqui_resnet import CoquiSpeakerEncoder
from myxtts.models.dvae import DVAE
from myxtts.models.ecapa_tdnn import ECAPATDNN, Rows
from myxtts.models.gpt import GPT
from myxtts.models.hifigan import HifiDecoder
from myxtts.weights import coqui_dvae, coqui_gpt, coqui_hifigan, coqui_resnet, speechbrain_ecapa

DVAE_SIZES = {"hidden_dim": 16, "codebook_dim": 16, "num_codes": 32, "num_resnet_blocks": 2}
GPT_SIZES = {"layers": 2, "model_dim": 64, "heads": 4}
TEXT_TOKENS, MAX_TEXT, MAX_AUDIO, NUM_CODES = 300, 40, 80, 48
GREEDY_STEPS = 70
HIFI_SIZES = {"latent_dim": 24, "speaker_dim": 16, "initial_channels": 32}
RESNET_SIZES = {"embedding_dim": 24, "blocks": (2, 1, 1, 1), "channels": (8, 16, 24, 32)}
# The first block's width differs from the second's, so that there is a shortcut.
ECAPA_SIZES = ECAPAConfig(
    channels=(24, 32, 32, 32, 96),
    attention_dim=16,
    res2net_scale=4,
    squeeze_dim=8,
    embedding_dim=24,
)


@dataclass(frozen=True)
class Case:
    """One module.

    Attributes:
        inputs: random inputs.
        run: from the upstream's arrays and the inputs to this package's outputs.
        exact: outputs that must be equal, not only near.
    """

    inputs: Callable[[np.random.Generator], Arrays]
    run: Callable[[Arrays, Arrays], Arrays]
    exact: tuple[str, ...] = ()


def _run_dvae(arrays: Arrays, inputs: Arrays) -> Arrays:
    dvae = DVAE(**DVAE_SIZES)
    dvae.build()
    coqui_dvae.load(dvae, arrays)
    codes = np.asarray(dvae.encode(inputs["mel"]))
    return {"codes": codes, "mel": np.asarray(dvae.decode(codes))}


def _run_conditioning(arrays: Arrays, inputs: Arrays) -> Arrays:
    encoder = ConditioningEncoder(64, 6, 4, name="conditioning_encoder")
    perceiver = PerceiverResampler(64, 2, 32, 8, 64, name="perceiver")
    encoder.build()
    perceiver.build()
    coqui_gpt.load_conditioning(encoder, arrays)
    coqui_gpt.load_perceiver(perceiver, arrays)
    hidden = encoder(inputs["mel"])
    return {"hidden": np.asarray(hidden), "latents": np.asarray(perceiver(hidden))}


def make_gpt() -> GPT:
    """The case's GPT, built."""
    gpt = GPT(
        **GPT_SIZES,
        num_text_tokens=TEXT_TOKENS,
        max_text_tokens=MAX_TEXT,
        max_audio_tokens=MAX_AUDIO,
        num_codes=NUM_CODES,
    )
    gpt.build()
    return gpt


def _run_gpt(arrays: Arrays, inputs: Arrays) -> Arrays:
    gpt = make_gpt()
    coqui_gpt.load(gpt, arrays)
    texts, codes = inputs["text"], inputs["codes"]
    rows = np.ones(len(texts), "int32")
    outputs = gpt(
        {
            "text_ids": texts,
            "text_lengths": rows * texts.shape[1],
            "audio_codes": codes,
            "code_lengths": rows * codes.shape[1],
            "conditioning_latents": inputs["latents"],
        }
    )
    spoken = generate(
        gpt,
        texts[:1],
        rows[:1] * texts.shape[1],
        inputs["latents"][:1],
        np.zeros((1, GREEDY_STEPS), "float32"),
        greedy=True,
    )
    names = ("text_logits", "audio_logits", "audio_latents")
    return {name: np.asarray(outputs[name]) for name in names} | {
        "greedy": np.asarray(spoken["codes"][0])
    }


def _run_hifigan(arrays: Arrays, inputs: Arrays) -> Arrays:
    decoder = HifiDecoder(**HIFI_SIZES)
    decoder.build()
    coqui_hifigan.load(decoder, arrays)
    return {"waveform": np.asarray(decoder(inputs["latents"], inputs["speaker"]))}


def _run_resnet(arrays: Arrays, inputs: Arrays) -> Arrays:
    encoder = CoquiSpeakerEncoder(**RESNET_SIZES)
    encoder.build()
    coqui_resnet.load(encoder, arrays)
    mel = encoder.mel(inputs["audio"])
    return {"mel": np.asarray(mel), "embedding": np.asarray(encoder(inputs["audio"]))}


def _run_ecapa(arrays: Arrays, inputs: Arrays) -> Arrays:
    encoder = ECAPATDNN(ECAPA_SIZES)
    encoder.build()
    speechbrain_ecapa.load(encoder, arrays)
    audio = inputs["audio"]
    features, valid = encoder.features(audio, np.full(len(audio), audio.shape[1]))
    rows = Rows(valid)
    first = encoder.first(features, rows=rows)
    outputs = {
        "features": features,
        "first": first,
        "block": encoder.blocks[0](first, rows=rows),
        "pooled": encoder.pooling(inputs["hidden"], rows=Rows(np.ones((2, 53), bool))),
        "embedding": encoder(audio),
    }
    return {name: np.asarray(value) for name, value in outputs.items()}


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype("float32")


CASES = {
    "dvae": Case(lambda rng: {"mel": _normal(rng, 2, 37, 80)}, _run_dvae, ("codes",)),
    "conditioning": Case(lambda rng: {"mel": _normal(rng, 2, 41, 80)}, _run_conditioning),
    "gpt": Case(
        lambda rng: {
            "text": rng.integers(1, 260, (2, 13)).astype("int32"),
            "codes": rng.integers(0, NUM_CODES, (2, 21)).astype("int32"),
            "latents": _normal(rng, 2, 8, 64),
        },
        _run_gpt,
        ("greedy",),
    ),
    "hifigan": Case(
        lambda rng: {"latents": _normal(rng, 2, 9, 24), "speaker": _normal(rng, 2, 16)},
        _run_hifigan,
    ),
    "resnet": Case(lambda rng: {"audio": 0.1 * _normal(rng, 2, 16_123)}, _run_resnet),
    "ecapa": Case(
        lambda rng: {"audio": 0.1 * _normal(rng, 2, 9_871), "hidden": _normal(rng, 2, 53, 96)},
        _run_ecapa,
    ),
}
