"""Decoders from latents to a waveform, by the kind that a configuration names.

Whoever uses one asks it for ``frames``, ``vocode`` and ``output_length``, for how far it hears
(``receptive_field``, ``lookahead``, ``latents_behind``, ``unsettled``), for the name of its
``vocoder`` and whether it is ``harmonic``, made of harmonics of a pitch.
"""

from __future__ import annotations

from myxtts.config import ModelConfig
from myxtts.models.hifigan import HifiDecoder
from myxtts.models.istft_decoder import IstftDecoder

Decoder = HifiDecoder | IstftDecoder
KINDS: dict[str, type[Decoder]] = {"hifigan": HifiDecoder, "istft": IstftDecoder}


def make_decoder(config: ModelConfig) -> Decoder:
    """The decoder of a configuration's ``model`` section."""
    return KINDS[config.decoder.kind].from_section(config)
