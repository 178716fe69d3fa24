"""Settings of the pretrained WavLM: which of the published models, and its sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from myxtts.decoder_config import DEEPEST, WIDEST
from myxtts.settings import Settings, setting

WavLMName = Literal[
    "wavlm-base-plus-sv", "wavlm-base-sv", "wavlm-base-plus", "wavlm-base", "wavlm-large"
]
WAVLM_NAMES = get_args(WavLMName)
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class WavLMConfig(Settings, section="model.wavlm"):
    """The pretrained WavLM (Chen et al. 2022); the defaults are ``wavlm-base-plus-sv``'s.

    A ``config.json`` beside the weights says them all, so that only weights without one need
    them set; what is set here and stands otherwise there is refused.
    """

    name: WavLMName = setting(
        "wavlm-base-plus-sv", "which of Microsoft's models is fetched where no path is given"
    )
    conv_channels: Sizes = setting(
        (512,) * 7, "channels of the convolutions that hear the audio", at_least=1, at_most=WIDEST
    )
    conv_kernels: Sizes = setting(
        (10, 3, 3, 3, 3, 2, 2), "their kernels", at_least=1, at_most=DEEPEST
    )
    conv_strides: Sizes = setting(
        (5, 2, 2, 2, 2, 2, 2), "their strides", at_least=1, at_most=DEEPEST
    )
    conv_bias: bool = setting(False, "whether they have a bias")
    conv_norm: Literal["group", "layer"] = setting(
        "group", "group: over time behind the first of them; layer: over channels behind each"
    )
    hidden_dim: int = setting(768, "width of the transformer", at_least=1, at_most=WIDEST)
    layers: int = setting(12, "transformer blocks", at_least=1, at_most=DEEPEST)
    heads: int = setting(12, "attention heads", at_least=1, at_most=WIDEST)
    feed_forward_dim: int = setting(
        3072, "width inside a block's feed-forward", at_least=1, at_most=WIDEST
    )
    pre_norm: bool = setting(False, "layer norms before attention and feed-forward, not behind")
    position_kernel: int = setting(
        128, "frames that the positional convolution hears", at_least=1, at_most=WIDEST
    )
    position_groups: int = setting(16, "groups of its channels", at_least=1, at_most=WIDEST)
    position_buckets: int = setting(
        320, "buckets of relative positions", at_least=4, at_most=WIDEST
    )
    position_distance: int = setting(
        800, "frames from which all distances share a bucket", at_least=2, at_most=WIDEST
    )
    layer_sum: bool = setting(True, "learned weighted sum of all layers instead of the last one")
    head: bool = setting(True, "x-vector head; without one the embedding is a mean over time")
    head_channels: Sizes = setting(
        (512, 512, 512, 512, 1500), "channels of its layers", at_least=1, at_most=WIDEST
    )
    head_kernels: Sizes = setting((5, 3, 3, 1, 1), "their kernels", at_least=1, at_most=DEEPEST)
    head_dilations: Sizes = setting((1, 2, 3, 1, 1), "their dilations", at_least=1, at_most=DEEPEST)
    head_dim: int = setting(512, "size of its embedding", at_least=1, at_most=WIDEST)
    normalise: bool = setting(
        False, "bring each clip to mean 0 and variance 1; preprocessor_config.json says it"
    )
    dropout: float = setting(
        0.1, "dropout while an unfrozen encoder is trained", at_least=0, below=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for first, *others in (
            ("conv_channels", "conv_kernels", "conv_strides"),
            ("head_channels", "head_kernels", "head_dilations"),
        ):
            for name in others:
                fits = len(getattr(self, name)) == len(getattr(self, first))
                self.require(fits, name, f"as long as {first}")
        for name in ("heads", "position_groups"):
            fits = self.hidden_dim % getattr(self, name) == 0
            self.require(fits, "hidden_dim", f"a multiple of model.wavlm.{name}")
        # Half for each direction, half of that for near distances.
        self.require(self.position_buckets % 4 == 0, "position_buckets", "a multiple of 4")
        least = self.position_buckets // 4
        self.require(self.position_distance > least, "position_distance", f"above {least}")

    @property
    def embedding_dim(self) -> int:
        """Size of the speaker embedding."""
        return self.head_dim if self.head else self.hidden_dim
