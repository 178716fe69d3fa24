"""A whole XTTS beside Coqui's: inputs, this package's results, and their bounds.

Coqui's results on the same inputs come from :mod:`benchmarks.upstream.coqui` or from a
golden file. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from benchmarks.upstream.drawn import Arrays
from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.mel import MelSpectrogram
from myxtts.config import SynthesisConfig
from myxtts.generation import state
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS

TEXTS = (
    "Hello there.",
    "It was 5 o'clock.",
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "Dr. Jones paid $12.50 for 3 lemons.",
    "Four hours of steady work faced us!",
    "Is the 21st of May a Monday?",
    "A large size in stockings is hard to sell.",
    "Rice, and beans & peas: 40% off.",
    "The boy was there when the sun rose; nobody else saw it.",
)
REPETITION_PENALTY = 5.0
CONDITIONING = {"gpt_cond_len": 30, "gpt_cond_chunk_len": 4, "max_ref_length": 30}
SETTINGS = SynthesisConfig(
    temperature=0.0, repetition_penalty=REPETITION_PENALTY, coqui_compatible=True, **CONDITIONING
)

# Relative to the reference's largest value; the others must be equal.
BOUNDS = {
    "latents": 1e-4,
    "speaker_embedding": 1e-4,
    "text_logits": 1e-4,
    "audio_logits": 1e-4,
    "gpt_latents": 1e-4,
    "waveform": 1e-3,
}
EXACT = ("text_ids", "codes", "audio_codes")
QUANTITIES = (*BOUNDS, *EXACT)


@dataclass(frozen=True)
class Inputs:
    """What both sides are given.

    Attributes:
        references: of the voice, ``(samples,)`` at 22.05 kHz each.
        clips: that become audio codes, likewise.
        texts: in English.
        steps: codes spoken of every text; the stop code waits so long.
        decoded: latents of the first text that become a waveform.
    """

    references: list[np.ndarray]
    clips: list[np.ndarray]
    texts: tuple[str, ...] = TEXTS
    steps: int = 100
    decoded: int = 24


def results(model: XTTS, inputs: Inputs, codes: np.ndarray) -> Arrays:
    """Every quantity as this package makes it.

    Each is made from this package's own earlier ones, from the references on; only the
    logits are those of Coqui's ``codes`` ``(texts, steps)``.
    """
    voice = Synthesizer(model, SETTINGS).condition(inputs.references)
    ids, lengths = _text_ids(model, inputs.texts)
    latents = np.repeat(voice.latents, len(ids), axis=0)
    spoken = _speak(model, ids, lengths, latents, inputs.steps)
    heard = spoken["latents"][:1, : inputs.decoded]
    return {
        "latents": voice.latents,
        "speaker_embedding": voice.speaker_embedding,
        "text_ids": np.concatenate(_rows(ids, lengths)),
        "codes": spoken["codes"],
        "gpt_latents": spoken["latents"],
        "waveform": np.asarray(model.decoder(heard, voice.speaker_embedding))[0],
        "audio_codes": audio_codes(model, inputs.clips),
        **_logits(model, ids, lengths, latents, codes),
    }


def audio_codes(model: XTTS, clips: list[np.ndarray]) -> np.ndarray:
    """The DVAE's codes of all clips, one clip after the other."""
    mel = MelSpectrogram(XTTS_DVAE)
    mels = (model.mel_norm(mel(clip[None])) for clip in clips)
    return np.concatenate([np.asarray(model.dvae.encode(mel))[0] for mel in mels])


def compare(ours: Arrays, theirs: Arrays) -> list[dict]:
    """Name, measured value, bound and verdict of all quantities in order.

    Measured is the largest relative difference, which may be as large as the bound, or the
    share that is identical, which must reach it. The shapes must agree.
    """
    return [_compare(name, ours[name], theirs[name]) for name in QUANTITIES]


def _compare(name: str, ours: np.ndarray, theirs: np.ndarray) -> dict:
    assert ours.shape == theirs.shape, (name, ours.shape, theirs.shape)
    if name in EXACT:
        measured, bound = float(np.mean(ours == theirs)), 1.0
        passed = measured >= bound
    else:
        measured = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        bound = BOUNDS[name]
        passed = measured <= bound
    return {"name": name, "measured": measured, "bound": bound, "passed": passed}


def _text_ids(model: XTTS, texts: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Padded ids and their lengths."""
    rows = [model.tokenizer.encode(text, "en") for text in texts]
    lengths = np.array([len(row) for row in rows], "int32")
    return keras.utils.pad_sequences(rows, padding="post"), lengths


def _rows(padded: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    return [row[:length] for row, length in zip(padded, lengths, strict=True)]


def _speak(model: XTTS, ids, lengths, latents, steps: int) -> Arrays:
    def generate(text_ids, text_lengths, conditioning):
        uniforms = tf.zeros((len(ids), steps))
        return state.generate(
            model.gpt,
            text_ids,
            text_lengths,
            conditioning,
            uniforms,
            greedy=True,
            repetition_penalty=REPETITION_PENALTY,
            coqui_compatible=True,
            min_codes=steps,
        )

    spoken = tf.function(generate, autograph=False)(ids, lengths, latents)
    return {name: np.asarray(spoken[name]) for name in ("codes", "latents")}


def _logits(model: XTTS, ids, lengths, latents, codes: np.ndarray) -> Arrays:
    inputs = {
        "text_ids": ids,
        "text_lengths": lengths,
        "audio_codes": codes,
        "code_lengths": np.full(len(codes), codes.shape[1], "int32"),
        "conditioning_latents": latents,
    }
    outputs = tf.function(lambda inputs: model.gpt(inputs), autograph=False)(inputs)
    text = np.asarray(outputs["text_logits"])
    return {
        "text_logits": np.concatenate(_rows(text, lengths + 2)),
        "audio_logits": np.asarray(outputs["audio_logits"]),
    }
