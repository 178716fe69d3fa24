"""The model card of the model that comes with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import myxtts
from myxtts.models.xtts import XTTS
from tools.voice_box.voices import BoxVoice

RESEMBLYZER = "Resemblyzer (Apache-2.0, Copyright 2019 Corentin Jemine)"


def model_card(
    model: XTTS, voices: Sequence[BoxVoice], corpus: Mapping | None, judged: Mapping | None
) -> str:
    """``README.md`` of the preset.

    Args:
        model: as it is packed.
        voices: packed with it.
        corpus: record of the corpus it was trained on, as ``tools/make_voice_corpus.py`` wrote
            it; None where it is unknown.
        judged: result of ``benchmarks/voice.py`` on it; None where there is none.
    """
    parts = [
        ["# The voice in the box", "", *_what(model)],
        ["## Data", "", *(_data(corpus) if corpus else ["Not recorded."])],
        ["## How it does", "", *(_figures(judged) if judged else ["Not measured yet."])],
        ["## Voices", "", *_voices(voices)],
        ["## Licences", "", *_licences(model, corpus)],
        ["## Limits", "", *_limits(corpus)],
    ]
    return "\n".join("\n".join([*part, ""]) for part in parts)


def _what(model: XTTS) -> list[str]:
    sizes, counts = model.config.model, {n: p.count_params() for n, p in model.parts().items()}
    steps = ", ".join(f"{stage} {count:,}" for stage, count in model.trained_steps.items())
    millions = ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in counts.items() if count)
    return [
        "An XTTS that reads English text in the voice of a recording of a few seconds.",
        "",
        f"- {sum(counts.values()):,} parameters ({millions}); weights in float16.",
        f"- A GPT of {sizes.gpt.layers} layers of {sizes.gpt.model_dim} over "
        f"{sizes.dvae.num_codes} audio codes; speech at 24 kHz.",
        f"- Speaker encoder: {model.encoder_provenance or 'trained with the model'}.",
        f"- Trained by MyXTTS {myxtts.__version__}, optimiser steps: {steps or 'none'}.",
    ]


def _data(corpus: Mapping[str, Any]) -> list[str]:
    made, texts = corpus.get("result") or {}, corpus.get("texts", {})
    speech = "Synthetic speech and recordings" if _recorded(corpus) else "Synthetic speech"
    lines = [f"{speech}, made by `{corpus.get('made_by', 'unknown')}`:", ""]
    if made:
        hours, clips = made["hours"], made["clips"]
        lines += [
            f"- {hours['train']:.1f} hours in {clips['train']:,} clips of {made['speakers']} "
            f"speakers to learn from, {hours['val']:.1f} hours to watch the training by.",
            f"- {made['checked']:,} of the clips were heard by Whisper tiny.en "
            f"(WER {100 * (made['wer'] or 0):.1f} %); {made['misheard']} were left out.",
        ]
    sources = ", ".join(f"{name} {count:,}" for name, count in texts.items() if count)
    return [*lines, f"- Sentences: {sources}."] if sources else lines


def _figures(judged: Mapping[str, Any]) -> list[str]:
    each, voices = judged["each"], len(judged["voices"])
    lines = [
        f"By `benchmarks/voice.py`: {judged['sentences']} unseen sentences, each in {each} of "
        f"{voices} unseen voices, temperature {judged['settings']['temperature']:g}.",
        "",
        "| | measured | gate |",
        "|---|---|---|",
    ]
    for name, gate in judged["gates"].items():
        told = gate["gate"] + ("" if gate["passed"] else " (missed)")
        lines.append(f"| {gate.get('title', name)} | {gate['value']:g} | {told} |")
    return lines


def _voices(voices: Sequence[BoxVoice]) -> list[str]:
    return [f"- `{voice.name}`: {voice.about}; {voice.source}." for voice in voices]


def _licences(model: XTTS, corpus: Mapping[str, Any] | None) -> list[str]:
    lines = [f"- The model: {model.licence}."]
    if model.encoder_provenance and "resemblyzer" in model.encoder_provenance.lower():
        lines.append(f"- Speaker encoder inside: {RESEMBLYZER}.")
    said = (corpus or {}).get("licences", {})
    return lines + [f"- Corpus: {licence}." for licence in said.values()]


def _recorded(corpus: Mapping[str, Any] | None) -> int:
    """Recordings of real people that were found for the corpus."""
    return ((corpus or {}).get("recordings") or {}).get("found", 0)


def _limits(corpus: Mapping[str, Any] | None) -> list[str]:
    speakers = "Most" if _recorded(corpus) else "All"
    return [
        f"English only. {speakers} of its speakers are synthetic; a recorded voice is followed in "
        "pitch and colour more than in manner. It may misread, repeat or leave out words, which "
        "the flags of a result tell. Clone the voice of a person only with that person's consent.",
    ]
