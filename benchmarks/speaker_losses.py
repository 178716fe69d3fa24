"""Do the speaker losses train? EER of the projected embedding on voices never trained on.

Trains the ``tiny`` preset on most voices of a corpus with ``metadata.jsonl``, with a frozen
Resemblyzer and with each speaker loss off and on, all else equal, and measures the equal error
rate of the projected speaker embedding over all pairs of clips of the other voices: of whole
clips, which Resemblyzer all but never confuses, and of one second out of each.

    python benchmarks/speaker_losses.py --corpus path/to/corpus --output outputs/speaker_losses
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.measuring import report, write_corpus
from myxtts.audio.io import read_audio
from myxtts.config import XTTSConfig
from myxtts.data.formats import Utterance, find_utterances
from myxtts.errors import DataError
from myxtts.flags import add_config_flags, config_from_flags, make_parser, run
from myxtts.training.run import train
from myxtts.verification.trials import detection_errors
from myxtts.verification.verifier import SpeakerVerifier

logger = logging.getLogger(__name__)

CLIPS = ("whole clip", "one second")
# The fields of the training section that carry a loss's weight.
LOSSES = {"off": None, "contrastive": "contrastive_loss_weight", "ge2e": "ge2e_loss_weight"}
# Two utterances of each of eight speakers, whether a loss asks for balance or not.
BASE = {
    "model": {
        "use_pretrained_speaker_encoder": True,
        "speaker_encoder_type": "resemblyzer",
    },
    "data": {"speakers_per_batch": 8},
    "training": {
        "dvae": {"steps": 100},
        "gpt": {"steps": 400, "batch_size": 16},
        "decoder": {"steps": 0},
        "validate_every": 400,
        "checkpoint_every": 400,
    },
}


def main(args: argparse.Namespace) -> None:
    output = Path(args.output)
    trained, held_out = split(find_utterances(args.corpus), args.held_out)
    corpus = write_corpus(trained, output / "corpus")
    config = config_from_flags(args, XTTSConfig.preset("tiny").merged(BASE)).merged(
        {"data": {"train_data": str(corpus), "cache_dir": str(output / "cache")}}
    )
    encoder = SpeakerVerifier.from_pretrained("resemblyzer", trim_silences=False)
    rates = {"not projected": [error_rates(encoder, held_out)]}
    for name in args.loss or LOSSES:
        changes = {LOSSES[name]: args.weight} if LOSSES[name] else {}
        rates[name] = [
            measure(config, changes, output / f"{name}_{seed}", seed, held_out)
            for seed in range(args.seeds)
        ]
    for name, values in rates.items():
        for kind, shown in zip(CLIPS, np.transpose(values), strict=True):
            numbers = ", ".join(f"{value:.2f}" for value in shown)
            logger.info("%-14s %-10s EER %% %s; mean %.2f", name, kind, numbers, shown.mean())
    report({"held_out": speakers(held_out), "clips": CLIPS, "eer": rates})


def split(utterances: Sequence[Utterance], count: int) -> tuple[list, list]:
    """Utterances of the voices to train on, and of ``count`` voices spread over the rest."""
    names = speakers(utterances)
    if not 2 <= count <= len(names) - 2:
        raise DataError(f"of {len(names)} voices {count} cannot be held out.")
    places = np.linspace(0, len(names) - 1, count).round().astype(int)
    held = {names[place] for place in places}
    return (
        [item for item in utterances if item.speaker not in held],
        [item for item in utterances if item.speaker in held],
    )


def speakers(utterances: Sequence[Utterance]) -> list[str]:
    return sorted({item.speaker for item in utterances})


def measure(
    config: XTTSConfig, changes: dict, folder: Path, seed: int, held_out: Sequence[Utterance]
) -> list[float]:
    """Train one run and return the EERs of its projected embedding, in percent."""
    training = {"output_dir": str(folder), "seed": seed, **changes}
    preset = train(config.merged({"training": training})).preset
    rates = error_rates(SpeakerVerifier.from_preset(preset), held_out)
    logger.info("%s: EER %s %%", folder.name, rates)
    return rates


def error_rates(verifier: SpeakerVerifier, utterances: Sequence[Utterance]) -> list[float]:
    """Equal error rates over all pairs of clips, whole and short, in percent."""
    whole = [read_audio(item.path, verifier.sample_rate)[0] for item in utterances]
    short = [middle(clip, verifier.sample_rate) for clip in whole]
    pairs = list(itertools.combinations(range(len(utterances)), 2))
    same = [utterances[one].speaker == utterances[other].speaker for one, other in pairs]
    rates = []
    for clips in (whole, short):
        cosines = verifier.similarity_matrix(clips)
        rates.append(round(detection_errors([cosines[pair] for pair in pairs], same).eer, 2))
    return rates


def middle(clip: np.ndarray, samples: int) -> np.ndarray:
    """The ``samples`` in the middle of ``clip``."""
    start = max(0, (len(clip) - samples) // 2)
    return clip[start : start + samples]


def parser() -> argparse.ArgumentParser:
    parser = make_parser("speaker_losses.py", __doc__)
    parser.add_argument("--corpus", required=True, help="folder with metadata.jsonl")
    parser.add_argument("--output", default="outputs/speaker_losses", help="folder of the runs")
    parser.add_argument("--held-out", type=int, default=14, help="voices not trained on")
    parser.add_argument("--weight", type=float, default=0.1, help="of the speaker losses")
    parser.add_argument("--loss", action="append", choices=LOSSES, help="only this one")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind")
    add_config_flags(parser, XTTSConfig, ("model", "data", "training"))
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
