"""StyleTTS2's checkpoints as a :class:`StylePair`: every key used once, or left with a reason."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from myxtts.errors import WeightsError
from myxtts.weights.sources import HUB
from myxtts.weights.torch_file import read_torch_tables
from tools.kokoro.parts import hub_file
from tools.styletts2_kokoro.style_encoder import StyleEncoder, StylePair, encoder_of

logger = logging.getLogger(__name__)

REPOSITORY, FILE = "yl4579/StyleTTS2-LibriTTS", "Models/LibriTTS/epochs_2nd_00020.pth"
TIMBRE, PROSODY = "style_encoder", "predictor_encoder"
# Saved under DataParallel, every key of a module begins so.
PARALLEL = "module."
# Modules of a checkpoint that are not read, and why.
IGNORED = {
    "decoder": "Kokoro's own decoder speaks",
    "predictor": "Kokoro's own predictor gives durations, pitch and energy",
    "text_encoder": "Kokoro has its own",
    "bert": "Kokoro has its own",
    "bert_encoder": "Kokoro has its own",
    "diffusion": "styles come from recordings, not from sampling",
    "text_aligner": "serves training alone",
    "pitch_extractor": "serves training alone",
    "mpd": "a discriminator, serves training alone",
    "msd": "a discriminator, serves training alone",
    "wd": "a discriminator, serves training alone",
}
# Share of a weight's largest singular value that its u and v must see. After training it is near
# one; of u and v as they were drawn, a tenth.
TRAINED = 0.5
POWER_STEPS = 20


def find_style_weights(given: str | None = None) -> Path | None:
    """A checkpoint on this machine: a path, ``hf://owner/name/file``, or where the hub keeps it.

    Nothing is downloaded. None where nothing was asked for and nothing lies there.

    Raises:
        WeightsError: what was asked for is not on this machine.
    """
    if not given:
        return hub_file(REPOSITORY, FILE)
    if not given.startswith(HUB):
        return Path(given)
    owner, _, rest = given.removeprefix(HUB).partition("/")
    name, _, file = rest.partition("/")
    found = hub_file(f"{owner}/{name}", file) if file else None
    if found is None:
        raise WeightsError(
            f"{given} is not in this machine's Hugging Face cache; "
            f"fetch it by 'hf download {owner}/{name} {file or 'FILE'}'."
        )
    return found


def load_style_pair(path: str | Path) -> StylePair:
    """Both style encoders of a StyleTTS2 checkpoint of many speakers, after its second stage.

    Raises:
        WeightsError: the file is missing or no such checkpoint; one of a single speaker
            (LJSpeech's) and one of the first stage are named as such.
    """
    modules = read_torch_tables(path, "net")
    modules = {name: _bare(state) for name, state in modules.items()}
    _check_modules(path, modules)
    _check_many_speakers(path, modules)
    _check_second_stage(path, modules)
    return StylePair(*(load_encoder(path, name, modules[name]) for name in (TIMBRE, PROSODY)))


def load_encoder(path: str | Path, name: str, state: Mapping[str, np.ndarray]) -> StyleEncoder:
    """One encoder from its state dictionary, ``module.`` cut off.

    Raises:
        WeightsError: a key is missing, is left over, or has another shape.
    """
    try:
        folded = fold_spectral_norm(state)
        encoder = encoder_of(folded)
        encoder.load_state_dict({key: torch.from_numpy(value) for key, value in folded.items()})
    except KeyError as error:
        raise WeightsError(f"{name} in {path} lacks {error.args[0]}.") from error
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{name} in {path} is no style encoder: {reason}") from error
    return encoder.eval()


def fold_spectral_norm(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights divided by their stored u W v, under their plain names; the rest as it is.

    Raises:
        KeyError: a weight's u or v is not there.
    """
    folded, used = {}, set()
    for key, weight in state.items():
        if not key.endswith("weight_orig"):
            continue
        names = [key.removesuffix("orig") + vector for vector in "uv"]
        sigma = _sigma(weight, *(state[name] for name in names))
        folded[key.removesuffix("_orig")] = (weight / sigma).astype("float32")
        used |= {key, *names}
    rest = {key: np.asarray(value, "float32") for key, value in state.items() if key not in used}
    return folded | rest


def _sigma(weight: np.ndarray, u: np.ndarray, v: np.ndarray) -> float:
    matrix = weight.reshape(len(weight), -1)
    return float(np.dot(u, matrix @ v))


def _bare(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key.removeprefix(PARALLEL): value for key, value in state.items()}


def _check_modules(path: str | Path, modules: Mapping) -> None:
    for name in (TIMBRE, PROSODY):
        if not modules.get(name):
            raise WeightsError(f"{path} is no checkpoint of StyleTTS2: its net has no {name}.")
    unknown = modules.keys() - IGNORED.keys() - {TIMBRE, PROSODY}
    if unknown:
        raise WeightsError(f"{path} is no checkpoint of StyleTTS2: its net has {min(unknown)!r}.")
    for name in modules.keys() & IGNORED.keys():
        logger.debug("%s: %s is left out: %s.", path, name, IGNORED[name])


def _check_many_speakers(path: str | Path, modules: Mapping) -> None:
    """The diffusion of many speakers hears a reference's style; without it, the decoder tells."""
    diffusion, decoder = (modules.get(name, {}) for name in ("diffusion", "decoder"))
    if diffusion:
        single = not any("to_features." in key for key in diffusion)
    else:
        ups = {key.split(".")[2] for key in decoder if key.startswith("generator.ups.")}
        single = len(ups) == 2  # iSTFTNet; HiFi-GAN has four
    if single:
        raise WeightsError(
            f"{path} is a StyleTTS2 of one speaker, as LJSpeech's: its style encoders never heard "
            f"two voices apart. Take that of LibriTTS, {REPOSITORY}."
        )


def _check_second_stage(path: str | Path, modules: Mapping) -> None:
    timbre, prosody = modules[TIMBRE], modules[PROSODY]
    copied = timbre.keys() == prosody.keys() and all(
        np.array_equal(timbre[key], prosody[key]) for key in timbre
    )
    if copied or _untrained(prosody):
        raise WeightsError(
            f"{path} is of StyleTTS2's first stage: its {PROSODY} is not trained yet. Take a "
            "checkpoint of the second stage (epochs_2nd_*.pth)."
        )


def _untrained(state: Mapping[str, np.ndarray]) -> bool:
    """Whether u and v are as they were drawn: they then see little of their weights."""
    shares = []
    for key, weight in state.items():
        u, v = (state.get(key.removesuffix("orig") + vector) for vector in "uv")
        if key.endswith("weight_orig") and u is not None and v is not None:
            shares.append(_sigma(weight, u, v) / _largest_singular_value(weight))
    return bool(shares) and float(np.median(shares)) < TRAINED


def _largest_singular_value(weight: np.ndarray) -> float:
    """By power iteration from a fixed start: a few per cent are near enough here."""
    matrix = weight.reshape(len(weight), -1)
    vector = np.random.default_rng(0).normal(size=len(matrix)).astype("float32")
    for _ in range(POWER_STEPS):
        vector = matrix @ (matrix.T @ vector)
        vector /= np.linalg.norm(vector) + 1e-30
    return float(np.linalg.norm(matrix.T @ vector)) + 1e-30
