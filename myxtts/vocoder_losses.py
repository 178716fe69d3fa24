"""Objectives of vocoders that say one sample after another, on ``keras.ops``."""

from __future__ import annotations

import math

from keras import ops

from myxtts.losses import whole_mean

# Of the mixture: the width of a class on [-1, 1], and the least logarithm of a scale.
MOL_CLASSES = 65_536
LEAST_LOG_SCALE = math.log(1e-14)
# Uniform draws are kept this far from 0 and 1, whose logarithms are infinite.
EDGE = 1e-5


def class_loss(logits, classes):
    """Mean cross-entropy of ``logits`` ``(..., classes)`` and integers ``(...)``."""
    return whole_mean(class_losses(logits, classes))


def class_losses(logits, classes):
    """The same of each sample."""
    chances = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    classes = ops.cast(classes, "int32")[..., None]
    return -ops.take_along_axis(chances, classes, axis=-1)[..., 0]


def mixture_losses(parameters, samples):
    """Negative log-likelihood of samples under a discretised mixture of logistics.

    After Salimans et al., PixelCNN++ (2017), for one channel of 65,536 levels.

    Args:
        parameters: ``(..., 3 * mixtures)``: logits, means and logarithms of the scales.
        samples: ``(...)`` in [-1, 1].

    Returns:
        ``(...)``.
    """
    logits, means, log_scales = ops.split(ops.cast(parameters, "float32"), 3, axis=-1)
    log_scales = ops.maximum(log_scales, LEAST_LOG_SCALE)
    centred = ops.cast(samples, "float32")[..., None] - means
    narrowness = ops.exp(-log_scales)
    upper = narrowness * (centred + 1.0 / (MOL_CLASSES - 1))
    lower = narrowness * (centred - 1.0 / (MOL_CLASSES - 1))
    share = ops.sigmoid(upper) - ops.sigmoid(lower)
    middle = narrowness * centred
    density = middle - log_scales - 2.0 * ops.softplus(middle) - math.log((MOL_CLASSES - 1) / 2)
    inside = ops.where(share > 1e-5, ops.log(ops.maximum(share, 1e-12)), density)
    whole = ops.cast(samples, "float32")[..., None]
    likelihood = ops.where(
        whole < -0.999,
        upper - ops.softplus(upper),
        ops.where(whole > 0.999, -ops.softplus(lower), inside),
    )
    return -ops.logsumexp(likelihood + ops.log_softmax(logits, axis=-1), axis=-1)


def mixture_loss(parameters, samples):
    """Mean of :func:`mixture_losses`."""
    return whole_mean(mixture_losses(parameters, samples))


def mixture_sample(parameters, choice, place):
    """Samples ``(...)`` in [-1, 1] drawn from a mixture of logistics.

    Args:
        parameters: as of :func:`mixture_losses`.
        choice: uniform draws ``(..., mixtures)`` that choose the logistic (Gumbel's maximum).
        place: uniform draws ``(...)`` that choose the place in it.
    """
    logits, means, log_scales = ops.split(ops.cast(parameters, "float32"), 3, axis=-1)
    chosen = ops.argmax(logits - ops.log(-ops.log(choice)), axis=-1)[..., None]
    mean = ops.take_along_axis(means, chosen, axis=-1)[..., 0]
    log_scale = ops.take_along_axis(log_scales, chosen, axis=-1)[..., 0]
    scale = ops.exp(ops.maximum(log_scale, LEAST_LOG_SCALE))
    return ops.clip(mean + scale * (ops.log(place) - ops.log(1.0 - place)), -1.0, 1.0)
