"""Settings of speaking with a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from myxtts.errors import ConfigError
from myxtts.settings import Settings, setting


@dataclass(frozen=True)
class SynthesisConfig(Settings, section="synthesis"):
    """How audio codes are sampled and turned into a waveform."""

    temperature: float = setting(0.75, "sampling temperature; 0: greedy", at_least=0, at_most=100)
    top_k: int = setting(50, "sample among this many codes; 0: all", at_least=0)
    top_p: float = setting(0.85, "sample within this probability mass", above=0, at_most=1)
    repetition_penalty: float = setting(
        1.0, "divides the scores of codes already spoken; 1: off", above=0, at_most=1000
    )
    num_beams: int = setting(
        1, "hypotheses of beam search, for temperature 0; 1: none", at_least=1, at_most=256
    )
    # Beyond this range, a few hundred codes raised to the penalty leave float32.
    length_penalty: float = setting(
        1.0,
        "with beams only: above 0 favours longer speech, below 0 shorter",
        at_least=-10,
        at_most=10,
    )
    seed: int = setting(0, "seed of the sampling", at_least=0)
    seconds_per_character: float = setting(
        0.25, "bound of the output length, beside two seconds", "seconds", above=0, at_most=1000
    )
    speed: float = setting(
        1.0, "how fast to speak: 2 halves the duration, 0.5 doubles it", above=0, at_most=100
    )
    max_characters: int = setting(
        0, "longest piece a text is split into; 0: what suits its language", at_least=0
    )
    min_seconds_per_character: float = setting(
        0.02, "the speech does not end before so long", "seconds", at_least=0, at_most=1000
    )
    retries: int = setting(
        2, "tries with the next seeds when speech rambles, halts or is cut", at_least=0, at_most=100
    )
    candidates: int = setting(
        1, "takes of each piece, of which the best read is kept; a stream has one", at_least=1
    )
    stream_codes: int = setting(
        20, "audio codes of 46 ms between the pieces of a stream", "codes", above=0, at_most=100000
    )
    first_codes: int = setting(
        8, "audio codes before a stream's first piece", "codes", above=0, at_most=100000
    )
    coqui_compatible: bool = setting(
        False, "penalise and allow the codes that Coqui's program does, for parity"
    )
    gpt_cond_len: float = setting(
        30.0, "how much of the references the GPT hears; 0: all", "seconds", at_least=0, at_most=600
    )
    gpt_cond_chunk_len: float = setting(
        4.0, "length of the chunks whose latents are averaged", "seconds", above=0, at_most=600
    )
    max_ref_length: float = setting(
        30.0, "how much of each reference is used", "seconds", above=0, at_most=600
    )
    sound_norm_refs: bool = setting(False, "bring every reference to a peak of 0.75")
    front_end: Literal["none", "hibari"] = setting(
        "none", "what turns letters into the phonemes that the model's vocabulary has"
    )
    xla: bool = setting(False, "compile the GPT's steps: faster speech after seconds of compiling")
    engine: Literal["tensorflow", "int8"] = setting(
        "tensorflow", "what computes the GPT's steps: float32 in graphs, or int8 in compiled code"
    )
    threads: int = setting(
        0, "of the int8 engine; 0: one for small models, else all", at_least=0, at_most=1024
    )
    vocoder: Literal["auto", "griffin_lim", "hifi", "istft"] = setting(
        "auto", "auto takes the decoder's once its stage has been trained"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_beams > 1 and self.temperature > 0:
            raise ConfigError(
                f"beam search is deterministic: synthesis.num_beams {self.num_beams} wants "
                f"synthesis.temperature 0, not {self.temperature}."
            )
        if self.num_beams > 1 and self.xla:
            raise ConfigError(f"synthesis.xla is not for beam search (num_beams {self.num_beams}).")
        if self.engine == "int8" and self.xla:
            raise ConfigError("synthesis.xla compiles TensorFlow's steps; engine int8 has none.")
