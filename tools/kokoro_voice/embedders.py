"""Speaker embedders that pass gradients: a registry, and WavLM.

An embedder has a ``name`` and turns a waveform of any rate into one vector. To add
one, write such a class and register a function that makes it:

    @register_embedder("mine")
    def _mine(config: OptimizerConfig, device: str) -> Embedder:
        return MyEmbedder(device)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

from myxtts.errors import ConfigError, WeightsError
from myxtts.timing import SPEAKER_RATE
from tools.kokoro.resampling import resample
from tools.kokoro_voice.config import OptimizerConfig

logger = logging.getLogger(__name__)


class Embedder(Protocol):
    """A judge of voices."""

    name: str

    def embed(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Embedding ``(size,)`` of a waveform ``(samples,)`` at a rate in Hz, with a gradient."""
        ...


Maker = Callable[[OptimizerConfig, str], Embedder]
_MAKERS: dict[str, Maker] = {}


def register_embedder(name: str) -> Callable[[Maker], Maker]:
    """Make an embedder known as ``name``; an earlier one of that name is replaced."""

    def keep(maker: Maker) -> Maker:
        _MAKERS[name] = maker
        return maker

    return keep


def open_embedder(config: OptimizerConfig, device: str = "cpu") -> Embedder:
    """The embedder that ``config.embedder`` names.

    Raises:
        ConfigError: none is registered under that name.
        WeightsError: its weights are not to be had.
    """
    if config.embedder not in _MAKERS:
        known = ", ".join(sorted(_MAKERS))
        raise ConfigError(f"there is no embedder {config.embedder!r}; these are known: {known}.")
    return _MAKERS[config.embedder](config, device)


class WavLMEmbedder:
    """WavLM (Chen et al. 2021) from transformers.

    The embedding is the mean of the last hidden state over time; of a checkpoint with
    an x-vector head, such as ``wavlm-base-plus-sv``, it is the head's.

    Args:
        model: name on the hub, or a local folder.
        device: where it runs.
        local_only: look on this machine alone.

    Raises:
        WeightsError: there is no such model, or its checkpoint lacks weights.
    """

    def __init__(
        self, model: str = "microsoft/wavlm-large", device: str = "cpu", local_only: bool = False
    ) -> None:
        self.name = f"wavlm ({model})"
        self._device = device
        self._model, self._normalise = _load_wavlm(model, local_only)
        self._model.to(device).eval().requires_grad_(False)

    def embed(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Embedding ``(size,)`` of ``(samples,)``."""
        audio = resample(audio.to(self._device), sample_rate, SPEAKER_RATE)
        if self._normalise:
            audio = (audio - audio.mean()) / torch.sqrt(audio.var(correction=0) + 1e-7)
        output = self._model(audio[None])
        if hasattr(output, "embeddings"):
            return output.embeddings[0]
        return output.last_hidden_state[0].mean(dim=0)


def _load_wavlm(name: str, local_only: bool) -> tuple[torch.nn.Module, bool]:
    """The model, and whether it wants waveforms of zero mean and unit variance."""
    try:
        import transformers
    except ImportError as error:
        raise WeightsError("WavLM needs transformers: pip install transformers.") from error
    places = (True,) if local_only or Path(name).is_dir() else (True, False)
    for local in places:
        try:
            return _load_from(transformers, name, local)
        except WeightsError:
            raise
        except (OSError, ValueError) as error:
            logger.debug("WavLM %s, local %s: %s", name, local, error)
            cause = error
    raise WeightsError(
        f"the weights of WavLM {name!r} are neither on this machine nor to be fetched; give a "
        "local folder by --wavlm-model, or take --embedder resemblyzer."
    ) from cause


def _load_from(transformers, name: str, local: bool) -> tuple[torch.nn.Module, bool]:
    config = transformers.AutoConfig.from_pretrained(name, local_files_only=local)
    if config.model_type != "wavlm":
        raise WeightsError(f"{name} is a {config.model_type} model, not WavLM.")
    has_head = "WavLMForXVector" in (config.architectures or [])
    kind = transformers.WavLMForXVector if has_head else transformers.WavLMModel
    model, found = kind.from_pretrained(name, local_files_only=local, output_loading_info=True)
    # The mask vector serves training alone; anything else missing would be random.
    missing = sorted(key for key in found["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing:
        raise WeightsError(f"the checkpoint of WavLM {name!r} lacks {missing[0]}.")
    return model, _wants_normalised(transformers, name, config, local)


def _wants_normalised(transformers, name: str, config, local: bool) -> bool:
    try:
        extractor = transformers.AutoFeatureExtractor.from_pretrained(name, local_files_only=local)
        return bool(extractor.do_normalize)
    except (OSError, ValueError):
        # Without its preprocessor's file: models with layer norm were trained normalised.
        return config.feat_extract_norm == "layer"


@register_embedder("wavlm")
def _wavlm(config: OptimizerConfig, device: str) -> Embedder:
    return WavLMEmbedder(config.wavlm_model, device)


@register_embedder("resemblyzer")
def _resemblyzer(config: OptimizerConfig, device: str) -> Embedder:
    from tools.kokoro.resemblyzer_embedder import ResemblyzerEmbedder

    return ResemblyzerEmbedder(device=device)


@register_embedder("auto")
def _auto(config: OptimizerConfig, device: str) -> Embedder:
    try:
        return WavLMEmbedder(config.wavlm_model, device, local_only=True)
    except WeightsError:
        embedder = _resemblyzer(config, device)
        logger.info(
            "WavLM %s is not on this machine, so Resemblyzer judges; --embedder wavlm fetches it.",
            config.wavlm_model,
        )
        return embedder
