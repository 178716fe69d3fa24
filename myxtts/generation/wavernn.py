"""Speaking with a WaveRNN: a mel spectrogram in, samples out, in one piece or in folds."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Literal, Protocol

import numpy as np
from keras import ops

from myxtts.audio.companding import decode_mu_law, deemphasised, from_classes
from myxtts.audio.folds import fold_starts, unfold
from myxtts.errors import AudioError, ConfigError
from myxtts.models.wavernn import AUX_PARTS, MIXTURES, WaveRNN, parts_of
from myxtts.vocoder_config import OVERLAP, TARGET, WaveRNNConfig
from myxtts.vocoder_losses import EDGE, mixture_sample

Weights = Literal["float32", "int16", "int8"]
# Largest integer of a weight and of the vectors they meet, whose sums must stay within 32 bits.
LARGEST = {"float32": (1, 1), "int16": (2047, 32_767), "int8": (127, 127)}
LARGEST_SUM = 2**31 - 1
# Mel frames over which the end of a sentence fades out.
FADED_FRAMES = 20
# Samples of all folds together that are prepared at a time.
PREPARED = 1024


@dataclass(frozen=True)
class Conditions:
    """What a WaveRNN knows of the samples it is to say.

    Attributes:
        mels: at every sample, ``(samples, feat_dims)``.
        features: of every frame, ``(frames, res_out_dims)``.
        starts: first sample of each fold, int64 ``(folds,)``.
        size: samples of a fold; beyond the last sample mels and features are zero.
    """

    mels: np.ndarray
    features: np.ndarray
    starts: np.ndarray
    size: int

    def places(self, begin: int, end: int) -> np.ndarray:
        """Sample of the whole that each of these of a fold is, ``(end - begin, folds)``."""
        places = self.starts[None, :] + np.arange(begin, end)[:, None]
        return np.minimum(places, len(self.mels))

    def frames(self, places: np.ndarray) -> np.ndarray:
        """Frames of samples, as int32; one beyond the last where there is none."""
        return (places // max(len(self.mels) // len(self.features), 1)).astype("int32")


class Engine(Protocol):
    """What says samples one after another.

    Attributes:
        sizes: of the model.
    """

    sizes: WaveRNNConfig

    def conditions(self, mel: np.ndarray, starts: np.ndarray | None, size: int) -> Conditions: ...

    def speak(self, conditions: Conditions, uniforms: np.ndarray) -> np.ndarray:
        """Classes, or samples of a mixture, ``(samples, folds)``, with uniform draws
        ``(samples, folds, draws)``."""


class ModelEngine:
    """The model itself, a step at a time: what the others are measured by, and slow.

    Args:
        model: built.
    """

    def __init__(self, model: WaveRNN):
        self.model, self.sizes = model, model.sizes

    def conditions(self, mel: np.ndarray, starts: np.ndarray | None, size: int) -> Conditions:
        """Mels and features of ``mel`` ``(frames, feat_dims)``; no starts are one fold of all."""
        pad = self.sizes.pad
        padded = np.pad(mel, [(pad, pad), (0, 0)])[None]
        mels = np.asarray(self.model.upsample(padded))[0]
        features = np.asarray(self.model.features(padded))[0]
        if starts is None:
            return Conditions(mels, features, np.zeros(1, "int64"), len(mels))
        return Conditions(mels, features, starts, size)

    def speak(self, conditions: Conditions, uniforms: np.ndarray) -> np.ndarray:
        """Classes or samples ``(samples, folds)``, as :class:`Engine` says."""
        mels = _with_zeros(conditions.mels)
        features = _with_zeros(conditions.features)
        folds, sizes = len(conditions.starts), self.sizes
        states = (np.zeros((folds, sizes.rnn_dims), "float32"),) * 2
        last, said = np.zeros(folds, "float32"), []
        for step in range(conditions.size):
            (place,) = conditions.places(step, step + 1)
            frame = conditions.frames(place)
            logits, states = self.model.step(last, mels[place], features[frame], states)
            if sizes.mode == "RAW":
                chosen = choose(np.asarray(logits), uniforms[step, :, 0])
                last = from_classes(chosen, sizes.bits).astype("float32")
                said.append(chosen)
            else:
                draws = uniforms[step]
                last = np.asarray(mixture_sample(logits, draws[:, :-1], draws[:, -1]))
                said.append(last)
        return np.stack(said).astype("float32")


class KernelEngine(ModelEngine):
    """A compiled loop on the processor over a copy of the model's weights.

    Args:
        model: built.
        weights: integers are faster and a little coarser: of a row of a matrix they leave 4,095
            steps (int16) or 255, and of what it meets as many as sums within 32 bits allow, or
            255 too.
    """

    def __init__(self, model: WaveRNN, weights: Weights = "float32"):
        super().__init__(model)
        self.weights = weights
        width, aux = self.sizes.rnn_dims, self.sizes.res_out_dims // AUX_PARTS
        entry, bias = (np.asarray(item) for item in model.input_layer.weights)
        # Of the input layer: the last sample, the mel, the first features.
        self._column, self._mel = entry[0].copy(), entry[1:-aux].copy()
        first = _torch_gru(model.rnn1)
        second = _torch_gru(model.rnn2)
        dense = [[np.asarray(item) for item in layer.weights] for layer in
                 (model.fc1, model.fc2, model.fc3)]  # fmt: skip
        matrices = [first[0], first[1], second[0][:, :width], second[1]]
        matrices += [kernel.T[:, : kernel.shape[0] - aux] for kernel, _ in dense[:2]]
        matrices.append(dense[2][0].T)
        stored = [_stored(item, weights) for item in matrices]
        self._matrices, self._scales = (tuple(item) for item in zip(*stored, strict=True))
        self._constants = (self._column, first[3], second[3], dense[2][1], first[2][None].copy())
        self._from_features = [(entry[-aux:], bias), (second[0][:, width:].T, second[2])]
        self._from_features += [(kernel[-aux:], bias) for kernel, bias in dense[:2]]

    def speak(self, conditions: Conditions, uniforms: np.ndarray) -> np.ndarray:
        """Classes or samples ``(samples, folds)``, as :class:`Engine` says."""
        kernel, forms = load_kernel()
        first, *tables = self._tables(conditions.features)
        mels, folds = _with_zeros(conditions.mels), len(conditions.starts)
        states = self._states(folds)
        widths = self.sizes.rnn_dims, self.sizes.fc_dims
        rooms = forms.rooms(self.weights, folds, widths)
        said = np.empty((conditions.size, folds), "float32")
        uniforms = np.ascontiguousarray(uniforms, "float32")
        each = max(PREPARED // folds, 1)
        for begin in range(0, conditions.size, each):
            end = min(begin + each, conditions.size)
            places = conditions.places(begin, end)
            rows = conditions.frames(places)
            base = (mels[places.ravel()] @ self._mel).reshape(*places.shape, -1)
            base += first[rows]
            kernel.advance(
                self._matrices,
                self._scales,
                self._constants,
                tuple(tables),
                rows,
                base,
                uniforms[begin:end],
                states,
                rooms,
                self._largest(),
                said[begin:end],
            )
        return said

    def _tables(self, features: np.ndarray) -> list[np.ndarray]:
        """What each frame adds behind the input layer, rnn2, fc1 and fc2; last, no frame."""
        parts = parts_of(_with_zeros(features))
        return [
            np.ascontiguousarray(part @ kernel + bias)
            for part, (kernel, bias) in zip(parts, self._from_features, strict=True)
        ]

    def _states(self, folds: int) -> tuple[np.ndarray, ...]:
        width = self.sizes.rnn_dims
        one, two = (np.zeros((folds, width), "float32") for _ in range(2))
        return one, two, np.zeros(folds, "float32")

    def _largest(self) -> tuple[int, int]:
        """Integers that vectors of both widths may become."""
        weight, vector = LARGEST[self.weights]
        widths = self.sizes.rnn_dims, self.sizes.fc_dims
        return tuple(min(LARGEST_SUM // (weight * width), vector) for width in widths)


def generate(
    engine: Engine,
    mel: np.ndarray,
    *,
    batched: bool = True,
    target: int = TARGET,
    overlap: int = OVERLAP,
    honest: bool = False,
    seed: int = 0,
    uniforms: np.ndarray | None = None,
) -> np.ndarray:
    """Waveform of a mel spectrogram.

    Args:
        engine: that says the samples.
        mel: ``(frames, feat_dims)`` in [-1, 1].
        batched: in folds, which is faster and can be heard at their seams.
        target, overlap: samples of a fold between its overlaps, and of an overlap.
        honest: the beginning does not fade in, seams keep their level, and only the last frame
            fades out; else all this is as in Real-Time-Voice-Cloning.
        seed: of the draws.
        uniforms: the draws themselves, ``(samples, folds, draws)``; else they are drawn.

    Returns:
        Float64 ``((frames - 1) * hop_length,)``.

    Raises:
        AudioError: the mel has fewer than two frames or other channels.
        ConfigError: target or overlap is too small.
    """
    sizes = engine.sizes
    _check(mel, sizes, target, overlap)
    starts, size = None, 0
    if batched:
        starts = fold_starts(len(mel) * sizes.hop_length, target, overlap)
        size = target + 2 * overlap
    conditions = engine.conditions(np.asarray(mel, "float32"), starts, size)
    if uniforms is None:
        uniforms = draws(sizes, (conditions.size, len(conditions.starts)), seed)
    said = engine.speak(conditions, uniforms).T.astype("float64")
    return finished(said, sizes, (len(mel) - 1) * sizes.hop_length, overlap, batched, honest)


def finished(
    said: np.ndarray,
    sizes: WaveRNNConfig,
    length: int,
    overlap: int = 0,
    batched: bool = False,
    honest: bool = False,
) -> np.ndarray:
    """What folds said, joined and made a waveform of ``length`` samples.

    Args:
        said: classes or samples ``(folds, samples)``.
        sizes: of the model.
        length: of the waveform.
        overlap, batched, honest: as of :func:`generate`.
    """
    values = from_classes(said, sizes.bits) if sizes.mode == "RAW" else said
    decodes = sizes.mode == "RAW" and sizes.mu_law
    if decodes and honest:
        values = decode_mu_law(values, 2**sizes.bits)
    joined = unfold(values, overlap, honest) if batched else values[0]
    if decodes and not honest:
        # The original fades mu-law values into one another.
        joined = decode_mu_law(joined, 2**sizes.bits)
    wave = deemphasised(joined, sizes.preemphasis)[:length].copy()
    faded = min((1 if honest else FADED_FRAMES) * sizes.hop_length, length)
    wave[length - faded :] *= np.linspace(1, 0, faded)
    return wave


def draws(sizes: WaveRNNConfig, shape: tuple[int, int], seed: int) -> np.ndarray:
    """Uniform draws ``(samples, folds, draws)`` in float32: one a class, or those of a mixture."""
    rng, count = np.random.default_rng(seed), 1 if sizes.mode == "RAW" else MIXTURES + 1
    values = rng.random((*shape, count), "float32")
    return values if sizes.mode == "RAW" else np.clip(values, EDGE, 1 - EDGE)


def choose(logits: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Classes ``(batch,)``: how many cumulated chances are at most the uniform draw."""
    chances = np.cumsum(np.asarray(ops.softmax(logits), "float64"), axis=-1)
    return (chances / chances[:, -1:] <= uniforms[:, None]).sum(axis=-1)


def _check(mel: np.ndarray, sizes: WaveRNNConfig, target: int, overlap: int) -> None:
    if mel.ndim != 2 or mel.shape[1] != sizes.feat_dims:
        raise AudioError(
            f"the vocoder wants mels of {sizes.feat_dims} channels, this one is {mel.shape}."
        )
    if len(mel) < 2:
        raise AudioError(f"a mel spectrogram of {len(mel)} frames has no sound; 2 are the least.")
    if not np.isfinite(mel).all():
        raise AudioError("the mel spectrogram holds values that are NaN or infinite.")
    if target < 1 or overlap < 0:
        raise ConfigError(
            f"a fold of {target} samples with an overlap of {overlap} cannot be: target is 1 at "
            "least, overlap 0."
        )


def _with_zeros(values: np.ndarray) -> np.ndarray:
    """``values`` and a row of zeros, for what lies beyond the end."""
    return np.concatenate([values, np.zeros((1, *values.shape[1:]), values.dtype)])


def _torch_gru(layer) -> tuple[np.ndarray, ...]:
    """Matrices and biases of inputs and states, gates r, z, n, ``(3 * width, ...)``."""

    def turned(array: np.ndarray) -> np.ndarray:
        update, reset, new = np.split(array, 3, axis=-1)
        return np.ascontiguousarray(np.concatenate([reset, update, new], axis=-1).T)

    kernel, recurrent, bias = (np.asarray(item) for item in layer.cell.weights)
    return turned(kernel), turned(recurrent), turned(bias[0]), turned(bias[1])


def load_kernel() -> tuple[ModuleType, ModuleType]:
    """The compiled loop and the forms of what it reads.

    They are imported late: the first compiles, or loads what was compiled, for a second.

    Raises:
        ConfigError: numba is missing or does not work.
    """
    try:
        from myxtts.generation import wavernn_forms, wavernn_kernel
    except ImportError as error:
        raise ConfigError(
            f"the compiled WaveRNN needs numba ({error}): pip install '.[int8]', or take another "
            "vocoder."
        ) from error
    return wavernn_kernel, wavernn_forms


def _stored(matrix: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """A matrix ``(outputs, inputs)`` as the kernel wants it, and the scale of each row."""
    _, forms = load_kernel()
    if weights == "float32":
        return forms.packed(matrix.astype("float32")), np.ones(len(matrix), "float32")
    most, _ = LARGEST[weights]
    scales = np.maximum(np.abs(matrix).max(axis=1), 1e-20).astype("float32") / np.float32(most)
    return forms.packed(np.rint(matrix / scales[:, None]).astype(weights)), scales
