"""What training the GPT will take of memory, told before it is taken."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import keras

from myxtts.config import ModelConfig, XTTSConfig
from myxtts.models.audio_encoder import AudioEncoder
from myxtts.models.decoder import make_decoder
from myxtts.models.dvae import DVAE
from myxtts.models.gpt import GPT
from myxtts.timing import FRAME_SECONDS, FRAMES_PER_CODE

BYTES = 4
# Fast speech has no more tokens of text in a second.
TOKENS_PER_SECOND = 17
# What a block keeps for its backward pass, measured with TensorFlow 2.21 on a CPU: floats a
# position for each of its channels, and floats for each pair of positions and head; and what
# bfloat16 leaves of the two.
CHANNEL_FLOATS, SCORE_FLOATS = 31.0, 3.5
CONDITIONING_FLOATS = 12.0
MIXED_CHANNELS, MIXED_SCORES = 0.55, 0.85


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of each kind that training the GPT holds at its peak.

    Attributes:
        weights: of all parts of the model.
        gradients: of what the stage trains.
        optimizer: AdamW's two moments.
        accumulation: sums of gradients over batches.
        activations: of a batch of the longest utterances.
    """

    weights: int
    gradients: int
    optimizer: int
    accumulation: int
    activations: int

    @property
    def total(self) -> int:
        """Sum of all kinds."""
        return sum(asdict(self).values())

    def to_dict(self) -> dict[str, int]:
        """Plain values, for JSON."""
        return asdict(self) | {"total": self.total}

    def __str__(self) -> str:
        return "\n".join(f"{name:<13}{_readable(size)}" for name, size in self.to_dict().items())


def estimate_memory(config: XTTSConfig) -> MemoryEstimate:
    """Estimate the memory of stage ``gpt`` under ``config``; nothing of full depth is built.

    The estimate is for batches of the longest utterances that ``data.max_seconds`` and the
    model allow, without XLA, and leaves out the program itself (about 1 GiB).
    """
    weights, trained = _parameters(config.model)
    accumulated = trained if config.training.gradient_accumulation > 1 else 0
    return MemoryEstimate(
        weights=BYTES * weights,
        gradients=BYTES * trained,
        optimizer=2 * BYTES * trained,
        accumulation=BYTES * accumulated,
        activations=_activations(config),
    )


def _readable(size: int) -> str:
    unit, name = (2**30, "GiB") if size >= 2**30 else (2**20, "MiB")
    return f"{size / unit:8.2f} {name}"


def _parameters(model: ModelConfig) -> tuple[int, int]:
    """Parameters of the whole model, and of what the stage trains."""
    encoder = _built(AudioEncoder(model))
    conditioning = sum(math.prod(variable.shape) for variable in encoder.conditioning_variables)
    gpt = _gpt_parameters(model)
    others = [
        encoder,
        _built(DVAE.from_section(model.dvae)),
        _built(make_decoder(model)),
    ]
    return gpt + sum(part.count_params() for part in others), gpt + conditioning


def _gpt_parameters(model: ModelConfig) -> int:
    """By its first two blocks: every further one is as large as the second."""
    one, two = (_built(_shallow(model, layers)).count_params() for layers in (1, 2))
    return one + (model.gpt.layers - 1) * (two - one)


def _shallow(model: ModelConfig, layers: int) -> GPT:
    config = XTTSConfig(model=model).merged({"model": {"gpt": {"layers": layers}}})
    return GPT.from_section(config.model)


def _built(part: keras.layers.Layer) -> keras.layers.Layer:
    if not part.built:
        part.build(None)
    return part


def _activations(config: XTTSConfig) -> int:
    model, training = config.model, config.training
    batch, width = training.gpt.batch_size, model.gpt.model_dim
    positions = sum(_longest(config))
    channels = model.gpt.layers * batch * positions * width * CHANNEL_FLOATS
    scores = model.gpt.layers * batch * model.gpt.heads * positions**2 * SCORE_FLOATS
    if not model.use_pretrained_speaker_encoder:
        frames = config.data.reference_seconds / FRAME_SECONDS
        blocks = model.conditioning.num_blocks * batch
        channels += blocks * frames * width * CONDITIONING_FLOATS
        scores += blocks * model.gpt.heads * frames**2 * SCORE_FLOATS
    if training.mixed_precision:
        channels, scores = channels * MIXED_CHANNELS, scores * MIXED_SCORES
    return int(BYTES * (channels + scores + 2 * batch * _logits(config)))


def _longest(config: XTTSConfig) -> tuple[int, int, int]:
    """Positions of conditioning latents, text and codes in the longest sequence."""
    gpt, seconds = config.model.gpt, config.data.max_seconds
    text = min(gpt.max_text_tokens, int(seconds * TOKENS_PER_SECOND))
    codes = min(gpt.max_audio_tokens, int(seconds / FRAME_SECONDS / FRAMES_PER_CODE) + 1)
    return config.model.conditioning.num_latents, text + 2, codes + 1


def _logits(config: XTTSConfig) -> int:
    _, text, codes = _longest(config)
    return text * config.model.gpt.num_text_tokens + codes * (config.model.dvae.num_codes + 2)
