"""Train a synthesizer (Tacotron) on data in the layout of Real-Time-Voice-Cloning.

    python tools/sv2tts/synthesizer_train.py RUN_ID SYN_DIR
    python tools/sv2tts/synthesizer_train.py RUN_ID SYN_DIR --rtvc-compatible

A run that is there already is gone on with, from its checkpoints, or else from its synthesizer.pt
with that file's optimizer. Ctrl-C saves. The other flags are fields of the configuration, and beat
the options of the original where both say the same.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.errors import ConfigError
from myxtts.flags import add_config_flags, config_from_flags, make_parser, run
from myxtts.synthesizer_config import COMPATIBLE, SynthesizerConfig
from tools.sv2tts.runs import RUN_DIR, add_run_options, goes_on, run_values, train_run

if TYPE_CHECKING:
    from myxtts.training.stage import System

logger = logging.getLogger(__name__)

# Fields of --hparams, where they are here.
FIELDS = {
    "num_mels": ("model", "n_mels"),
    "tts_embed_dims": ("model", "embed_dims"),
    "tts_encoder_dims": ("model", "encoder_dims"),
    "tts_decoder_dims": ("model", "decoder_dims"),
    "tts_postnet_dims": ("model", "postnet_dims"),
    "tts_encoder_K": ("model", "encoder_kernels"),
    "tts_lstm_dims": ("model", "lstm_dims"),
    "tts_postnet_K": ("model", "postnet_kernels"),
    "tts_num_highways": ("model", "num_highways"),
    "tts_dropout": ("model", "dropout"),
    "speaker_embedding_size": ("model", "speaker_dims"),
    "tts_cleaner_names": ("data", "cleaners"),
    "max_mel_frames": ("data", "max_frames"),
    "tts_schedule": ("training", "schedule"),
    "tts_clip_grad_norm": ("training", "gradient_clip"),
    "tts_eval_interval": ("training", "validate_every"),
}

EXPORT = "synthesizer.pt"


def parser() -> argparse.ArgumentParser:
    parser = make_parser("synthesizer_train.py", __doc__, json=True)
    parser.add_argument("run_id", help="name of the run, a folder in --models_dir")
    parser.add_argument("syn_dir", type=Path, help="folder of train.txt, mels and embeds")
    add_run_options(parser, EXPORT)
    parser.add_argument(
        "--hparams",
        default="",
        help="name=value,name=value; lists and tuples may have commas of their own",
    )
    parser.add_argument(
        "--rtvc-compatible",
        action="store_true",
        help="train as the original does: losses over padding, its attention over padding, no "
        "guided attention, batches of any length, one stop for a batch",
    )
    parser.add_argument(
        "--phonemes",
        action="store_true",
        help="the symbols are letters and phonemes, as synthesizer_preprocess_corpus.py writes",
    )
    usual = SynthesizerConfig().merged({"training": {"output_dir": RUN_DIR}})
    add_config_flags(parser, SynthesizerConfig, ("model", "data", "training"), defaults=usual)
    return parser


def resolve(args: argparse.Namespace) -> SynthesizerConfig:
    """The configuration: the run's own, then the original's options, then flags.

    Raises:
        ConfigError: a value is wrong.
    """
    config = SynthesizerConfig()
    if goes_on(args, "synthesizer"):
        config = SynthesizerConfig.from_yaml(args.models_dir / args.run_id / "config.yaml")
        # How many steps are left is found anew.
        config = config.merged({"training": {"synthesizer": {"steps": 0}}})
    if args.rtvc_compatible:
        config = config.merged(COMPATIBLE)
    training = run_values(args, "synthesizer", EXPORT)
    data = {"train_data": str(args.syn_dir)}
    if args.phonemes:
        from myxtts.text.symbols import PHONEME_SYMBOLS

        config = config.merged({"model": {"symbols": PHONEME_SYMBOLS}})
    config = config.merged({"data": data, "training": training}, "command line")
    config = config.merged(from_hparams(args.hparams), "--hparams")
    return config_from_flags(args, config)


def from_hparams(text: str) -> dict[str, dict[str, Any]]:
    """Values of ``--hparams`` by section and field; what the training does not read is said.

    Raises:
        ConfigError: they cannot be read.
    """
    if not text.strip():
        return {}
    from myxtts.data.rtvc_hparams import HPARAMS, given_hparams

    values: dict[str, dict[str, Any]] = {}
    for name, value in given_hparams(text).items():
        if name not in FIELDS:
            if value != HPARAMS[name]:
                logger.warning("--hparams: the training does not read %s", name)
            continue
        section, field = FIELDS[name]
        if name == "tts_schedule":
            value = [phase_text(phase) for phase in value]
        values.setdefault(section, {})[field] = list(value) if isinstance(value, tuple) else value
    return values


def phase_text(phase: Any) -> str:
    """A phase ``(r, rate, until, batch)`` as the configuration writes it.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(phase, (tuple, list)) or len(phase) != 4:
        raise ConfigError(f"--hparams: {phase!r} is no phase (r, rate, until, batch).")
    return ":".join(str(part) for part in phase)


def main(args: argparse.Namespace) -> None:
    """Train, and print where the preset lies."""
    train_run(args, resolve(args), "synthesizer", _system)


def _system() -> System:
    # Imported late: --help and --dry-run need no TensorFlow.
    from myxtts.training.stages.synthesizer_system import SYNTHESIZER_SYSTEM

    return SYNTHESIZER_SYSTEM


if __name__ == "__main__":
    sys.exit(run(main, parser()))
