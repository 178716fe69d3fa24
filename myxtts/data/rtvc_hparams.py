"""The hyper-parameters of RTVC's synthesizer as its ``--hparams`` names them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from myxtts.audio.frontends import RTVC_SYNTHESIZER, MelSpec
from myxtts.audio.silences import Splitting
from myxtts.errors import ConfigError
from myxtts.settings import nearest

HPARAMS: dict[str, Any] = {
    "sample_rate": 16_000,
    "n_fft": 800,
    "num_mels": 80,
    "hop_size": 200,
    "win_size": 800,
    "fmin": 55,
    "min_level_db": -100,
    "ref_level_db": 20,
    "max_abs_value": 4.0,
    "preemphasis": 0.97,
    "preemphasize": True,
    "tts_embed_dims": 512,
    "tts_encoder_dims": 256,
    "tts_decoder_dims": 128,
    "tts_postnet_dims": 512,
    "tts_encoder_K": 5,
    "tts_lstm_dims": 1024,
    "tts_postnet_K": 5,
    "tts_num_highways": 4,
    "tts_dropout": 0.5,
    "tts_cleaner_names": ["english_cleaners"],
    "tts_stop_threshold": -3.4,
    "tts_schedule": [
        (2, 1e-3, 20_000, 12),
        (2, 5e-4, 40_000, 12),
        (2, 2e-4, 80_000, 12),
        (2, 1e-4, 160_000, 12),
        (2, 3e-5, 320_000, 12),
        (2, 1e-5, 640_000, 12),
    ],
    "tts_clip_grad_norm": 1.0,
    "tts_eval_interval": 500,
    "tts_eval_num_samples": 1,
    "max_mel_frames": 900,
    "rescale": True,
    "rescaling_max": 0.9,
    "synthesis_batch_size": 16,
    "signal_normalization": True,
    "power": 1.5,
    "griffin_lim_iters": 60,
    "fmax": 7600,
    "allow_clipping_in_normalization": True,
    "clip_mels_length": True,
    "use_lws": False,
    "symmetric_mels": True,
    "trim_silence": True,
    "speaker_embedding_size": 256,
    "silence_min_duration_split": 0.4,
    "utterance_min_duration": 1.6,
}
# Of what the preparation and the vocoder's mels read; the rest has its ranges where it is used.
RANGES: dict[str, tuple[float, float]] = {
    "sample_rate": (1_000, 768_000),
    "n_fft": (16, 65_536),
    "num_mels": (1, 1_024),
    "hop_size": (1, 65_536),
    "win_size": (2, 65_536),
    "fmin": (0, 384_000),
    "min_level_db": (-1_000, -1),
    "ref_level_db": (-1_000, 1_000),
    "max_abs_value": (0.01, 1_000),
    "preemphasis": (0, 1),
    "max_mel_frames": (1, 1_000_000),
    "rescaling_max": (0.001, 1),
    "synthesis_batch_size": (1, 4_096),
    "silence_min_duration_split": (0, 3_600),
    "utterance_min_duration": (0, 3_600),
}
LARGEST = 1e12
# What has one value here: the other makes other models' mels.
FIXED = (
    "signal_normalization",
    "allow_clipping_in_normalization",
    "use_lws",
    "symmetric_mels",
)


def read_hparams(text: str, known: Mapping[str, Any] = HPARAMS) -> dict[str, Any]:
    """``known`` with what ``name=value,name=value`` changes; values may be lists and tuples.

    Raises:
        ConfigError: it cannot be read, a name is unknown, or a value is of another kind.
    """
    return {**known, **given_hparams(text, known)}


def given_hparams(text: str, known: Mapping[str, Any] = HPARAMS) -> dict[str, Any]:
    """The same without those that the text does not name.

    Raises:
        ConfigError: as of :func:`read_hparams`.
    """
    try:
        call = ast.parse(f"f({text.strip().rstrip(',')})", mode="eval").body
        given = {item.arg: ast.literal_eval(item.value) for item in call.keywords}
        if call.args or None in given:
            raise ValueError
    # Many brackets are too much for Python's parser, which says so in three ways.
    except (SyntaxError, ValueError, AttributeError, RecursionError, MemoryError) as error:
        raise ConfigError(
            f"--hparams {text[:80]!r} cannot be read: name=value,name=value is wanted, with "
            "quotation marks around words."
        ) from error
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"--hparams: no hyper-parameter {name!r}{nearest(name, known)}.")
        _require_kind(name, value, known[name])
        if isinstance(known[name], int) and isinstance(value, float):
            given[name] = int(value)
    _require_mels({**known, **given})
    return given


def _require_kind(name: str, value: Any, usual: Any) -> None:
    number = (int, float)
    if isinstance(usual, bool):
        fits = isinstance(value, bool)
    elif isinstance(usual, number):
        fits = isinstance(value, number) and not isinstance(value, bool)
        fits = fits and abs(value) <= LARGEST
        fits = fits and (isinstance(value, int) or isinstance(usual, float) or value == int(value))
    else:
        fits = isinstance(value, (list, tuple))
        fits = fits and (
            name != "tts_cleaner_names" or all(isinstance(part, str) for part in value)
        )
    if not fits:
        raise ConfigError(
            f"--hparams: {name} is {str(value)[:80]}; a value such as {usual!r} is wanted."
        )
    low, high = RANGES.get(name, (-LARGEST, LARGEST))
    if isinstance(value, number) and not low <= value <= high:
        raise ConfigError(f"--hparams: {name} must be from {low} to {high}, not {value!r}.")
    if name in FIXED and value != usual:
        raise ConfigError(f"--hparams: {name} can only be {usual!r} here.")


def _require_mels(values: Mapping[str, Any]) -> None:
    """Refuse numbers that do not go together."""
    if values["win_size"] > values["n_fft"]:
        raise ConfigError("--hparams: win_size must not be above n_fft.")
    if not values["fmin"] < values["fmax"] <= values["sample_rate"] / 2:
        raise ConfigError("--hparams: fmin must be below fmax, and fmax at most sample_rate / 2.")


def mel_spec(hparams: Mapping[str, Any]) -> MelSpec:
    """The front-end that hyper-parameters describe; the usual ones give ``RTVC_SYNTHESIZER``."""
    reference = float(hparams["ref_level_db"])
    return MelSpec(
        hparams["sample_rate"],
        n_fft=hparams["n_fft"],
        win_length=hparams["win_size"],
        hop_length=hparams["hop_size"],
        n_mels=hparams["num_mels"],
        f_min=float(hparams["fmin"]),
        f_max=float(hparams["fmax"]),
        mel_scale=RTVC_SYNTHESIZER.mel_scale,
        compression="amplitude",
        eps=10.0 ** (hparams["min_level_db"] / 20),
        preemphasis=hparams["preemphasis"] if hparams["preemphasize"] else 0.0,
        first_sample="zero",
        pad_mode="constant",
        spectrum="magnitude",
        limit=float(hparams["max_abs_value"]),
        lowest_db=hparams["min_level_db"] + reference,
        highest_db=reference,
    )


def splitting(hparams: Mapping[str, Any]) -> Splitting:
    """Where utterances are split."""
    longest = hparams["hop_size"] * hparams["max_mel_frames"] / hparams["sample_rate"]
    return Splitting(
        hparams["sample_rate"],
        hparams["silence_min_duration_split"],
        hparams["utterance_min_duration"],
        longest,
    )
