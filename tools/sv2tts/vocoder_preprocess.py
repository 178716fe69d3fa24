"""Let a synthesizer speak its own data, so that a vocoder learns from mels as it will get them.

python tools/sv2tts/vocoder_preprocess.py DATASETS_ROOT -s saved_models/default/synthesizer.pt
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.errors import ConfigError
from myxtts.flags import make_parser, run

# Hyper-parameters that a synthesizer's file says as well.
SIZES = {
    "num_mels": "n_mels",
    "tts_embed_dims": "embed_dims",
    "tts_encoder_dims": "encoder_dims",
    "tts_decoder_dims": "decoder_dims",
    "tts_postnet_dims": "postnet_dims",
    "tts_encoder_K": "encoder_kernels",
    "tts_lstm_dims": "lstm_dims",
    "tts_postnet_K": "postnet_kernels",
    "tts_num_highways": "num_highways",
    "speaker_embedding_size": "speaker_dims",
}


def parser() -> argparse.ArgumentParser:
    parser = make_parser("vocoder_preprocess.py", __doc__)
    add = parser.add_argument
    add("datasets_root", type=Path, help="folder with SV2TTS; --in_dir and --out_dir win")
    add(
        "-s",
        "--syn_model_fpath",
        type=Path,
        default=Path("saved_models/default/synthesizer.pt"),
        help="the synthesizer: RTVC's file, or a preset or run folder (default: %(default)s)",
    )
    add(
        "-i",
        "--in_dir",
        type=Path,
        help="the synthesizer's data (default: <datasets_root>/SV2TTS/synthesizer)",
    )
    add(
        "-o",
        "--out_dir",
        type=Path,
        help="where the vocoder's go (default: <datasets_root>/SV2TTS/vocoder)",
    )
    add(
        "--hparams",
        default="",
        help="name=value,name=value, synthesis_batch_size=2 say; sizes are read off the "
        "synthesizer and may not differ",
    )
    add("--cpu", action="store_true", help="use no GPU")
    return parser


def check_sizes(text: str, hparams: Mapping[str, Any], sizes: Any) -> None:
    """Refuse a size in ``text`` that is not the synthesizer's.

    Raises:
        ConfigError: there is one.
    """
    for name, field in SIZES.items():
        own = getattr(sizes, field)
        if name in text and hparams[name] != own:
            raise ConfigError(f"--hparams: {name} is {hparams[name]}, the synthesizer's is {own}.")


def main(args: argparse.Namespace) -> None:
    """Speak, and print how many utterances there are."""
    from myxtts.data.rtvc_hparams import read_hparams
    from myxtts.data.synthesizer import TABLE, read_table

    hparams = read_hparams(args.hparams)
    root = args.datasets_root / "SV2TTS"
    source = args.in_dir or root / "synthesizer"
    # What is wrong with it should be known before the model is read.
    read_table(source / TABLE)
    if args.cpu:
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
    from myxtts.inference.sv2tts import locate
    from myxtts.inference.teacher_forced import synthesize_mels
    from myxtts.models.tacotron import KIND, Tacotron
    from myxtts.text.symbols import SymbolTokenizer
    from myxtts.weights.rtvc_synthesizer import read

    path = locate(args.syn_model_fpath, KIND)
    model = Tacotron.from_preset(path) if path.is_dir() else read(path)
    check_sizes(args.hparams, hparams, model.config)
    out = args.out_dir or root / "vocoder"
    tokenizer = SymbolTokenizer(model.config.symbols, hparams["tts_cleaner_names"])
    size = int(hparams["synthesis_batch_size"])
    count = synthesize_mels(model, source, out, size, tokenizer)
    print(f"{count} utterances in {out}")


if __name__ == "__main__":
    sys.exit(run(main, parser()))
