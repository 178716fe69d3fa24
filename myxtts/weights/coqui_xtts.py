"""An XTTS-v2 checkpoint folder of Coqui to an :class:`~myxtts.models.xtts.XTTS`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from myxtts.errors import WeightsError
from myxtts.models.xtts import XTTS
from myxtts.presets.variables import file_sha256
from myxtts.text.tokenizer import VoiceBpeTokenizer
from myxtts.weights import coqui_dvae, coqui_gpt, coqui_hifigan, coqui_resnet
from myxtts.weights.coqui_config import check_vocabulary, read_configuration, read_json
from myxtts.weights.coqui_folder import (
    CONFIGURATION,
    DVAE,
    FILES,
    MEL_STATS,
    MODEL,
    NEEDED,
    VOCABULARY,
    Checkpoint,
    open_folder,
)
from myxtts.weights.coqui_gpt import below
from myxtts.weights.torch_file import read_torch_file, read_torch_tensor

__all__ = ["FILES", "LICENCE", "NEEDED", "convert_checkpoint", "load_model", "read_configuration"]

logger = logging.getLogger(__name__)

LICENCE = "Coqui Public Model License 1.0.0 (non-commercial): https://coqui.ai/cpml"

DECODER = "hifigan_decoder.waveform_decoder."
SPEAKER = "hifigan_decoder.speaker_encoder."
# A trainer's checkpoint has its own front-ends and a copy of the DVAE beside the model.
LEFT_OUT = ("torch_mel_spectrogram_", "dvae.")
# What a trainer, several devices or a compiled model put before a key, in any order.
WRAPPERS = ("xtts.", "module.", "_orig_mod.")
TEXT_ROWS = "gpt.text_embedding.weight"

WITHOUT_DVAE = (
    "there is no dvae.pth: the model can speak, but not be fine-tuned, nor speak with "
    "--vocoder griffin_lim; put the dvae.pth it was trained with beside it and convert again "
    "for that."
)


def convert_checkpoint(source: str | Path | Checkpoint) -> XTTS:
    """Read the checkpoint folder ``source`` into a new model.

    Args:
        source: folder of ``config.json``, ``vocab.json`` and the weights, published or a
            trainer's (see :func:`myxtts.weights.coqui_folder.open_folder`), its file of weights,
            or what that function gives. ``dvae.pth``, which speaking does not need, and
            ``mel_stats.pth``, which the weights hold too, may be missing.

    Raises:
        WeightsError: a file is missing or unreadable, the configuration asks for another
            architecture, or keys and shapes do not fit.
    """
    checkpoint = source if isinstance(source, Checkpoint) else open_folder(source)
    config_path = checkpoint.require(CONFIGURATION)
    args = read_json(config_path)["model_args"]
    vocabulary = checkpoint.require(VOCABULARY, args)
    tokenizer = VoiceBpeTokenizer(vocabulary)
    arrays = unwrapped(read_torch_file(checkpoint.weights, "model", bare=True))
    rows = len(arrays[TEXT_ROWS]) if TEXT_ROWS in arrays else None
    if rows is not None:
        check_vocabulary(vocabulary, tokenizer.vocab_size, rows)
    dvae_path = checkpoint.find(DVAE, args)
    dvae = unwrapped(read_torch_file(dvae_path)) if dvae_path else below(arrays, "dvae.")
    model = XTTS(read_configuration(config_path, tokenizer, dvae or None, rows), tokenizer)
    load_model(model, arrays, checkpoint.weights.name)
    model.trained_steps = {"gpt": 1, "decoder": 1}
    if dvae:
        coqui_dvae.load(model.dvae, dvae)
        model.trained_steps = {"dvae": 1} | model.trained_steps
    else:
        logger.warning("%s: %s", checkpoint.folder, WITHOUT_DVAE)
    if stats := checkpoint.find(MEL_STATS, args):
        _check_mel_stats(model, stats, checkpoint.weights.name)
    else:
        logger.info("there is no mel_stats.pth; %s holds the same.", checkpoint.weights.name)
    files = (config_path, checkpoint.weights, vocabulary, dvae_path, stats)
    model.licence = LICENCE
    model.source = {path.name: file_sha256(path) for path in files if path}
    return model


def unwrapped(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Float arrays as float32, under keys without what wraps a model.

    Of two arrays for one key, the one that a trainer's prefix names is the trained one.
    """
    found: dict[str, tuple[int, np.ndarray]] = {}
    for key, array in arrays.items():
        own = key
        while prefix := next((item for item in WRAPPERS if own.startswith(item)), None):
            own = own.removeprefix(prefix)
        cut = len(key) - len(own)
        if own not in found or cut > found[own][0]:
            found[own] = cut, array
    return {key: _single(array) for key, (_, array) in found.items()}


def _single(array: np.ndarray) -> np.ndarray:
    """Half and double precision as float32: sums of squares leave the range of half."""
    return array.astype("float32") if array.dtype in ("float16", "float64") else array


def load_model(model: XTTS, arrays: Mapping[str, np.ndarray], name: str = MODEL) -> None:
    """Set everything but the DVAE from the keys of the weights file ``name``.

    Raises:
        WeightsError: keys or shapes do not fit, or a key has no place here.
    """
    own = {k: v for k, v in arrays.items() if not k.startswith(LEFT_OUT)}
    gpt = below(own, "gpt.")
    places = ("gpt.", DECODER, SPEAKER)
    unknown = [key for key in own if key != "mel_stats" and not key.startswith(places)]
    if unknown or "mel_stats" not in own:
        named = ", ".join(unknown[:3]) or "none"
        raise WeightsError(f"{name} lacks mel_stats, or has keys without a place here: {named}.")
    coqui_gpt.load(model.gpt, gpt)
    coqui_gpt.load_conditioning(model.audio_encoder.conditioning_encoder, gpt)
    coqui_gpt.load_perceiver(model.audio_encoder.perceiver, gpt)
    coqui_hifigan.load(model.decoder, below(own, DECODER))
    coqui_resnet.load(model.audio_encoder.speaker_encoder, below(own, SPEAKER))
    model.set_mel_stats(own["mel_stats"])


def _check_mel_stats(model: XTTS, path: Path, weights: str) -> None:
    """The DVAE was trained with the statistics of its own file: they must be the model's."""
    stored = read_torch_tensor(path).astype("float32")
    own = np.asarray(model.mel_norm.mel_stats)
    if not same_values(stored, own):
        raise WeightsError(f"{path} does not hold the mel_stats of {weights}.")


def same_values(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two float32 arrays are equal, or one is the other stored in half precision."""
    if one.shape != other.shape:
        return False
    halves = (np.float16, ml_dtypes.bfloat16)
    pairs = [(one, other)]
    for half in halves:
        pairs += [(one.astype(half), other), (one, other.astype(half))]
    return any(np.allclose(a.astype("float32"), b.astype("float32")) for a, b in pairs)
