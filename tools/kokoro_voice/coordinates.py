"""The voice space that a fit's settings ask for; the space itself is ``tools.kokoro``'s."""

from __future__ import annotations

import numpy as np

from tools.kokoro import voice_space
from tools.kokoro.voice_space import SpaceShape, VoiceSpace
from tools.kokoro_voice.config import OptimizerConfig


def build_space(voices: np.ndarray, config: OptimizerConfig) -> VoiceSpace:
    """The space that voices ``(voices, 510, 1, 256)`` span, as ``config`` wants it.

    Raises:
        DataError: all voices are the same.
    """
    shape = SpaceShape(
        config.length_model,
        config.target_frame_idx,
        config.n_variable_dims,
        config.pca_components,
        halves_are_separate(config),
    )
    return voice_space.build_space(voices, shape)


def halves_are_separate(config: OptimizerConfig) -> bool:
    """What ``config.halves`` comes to: ``auto`` is separate for ``autograd`` alone."""
    return config.halves == "separate" or (
        config.halves == "auto" and config.gradient_method == "autograd"
    )
