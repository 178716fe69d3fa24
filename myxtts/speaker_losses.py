"""Objectives of speaker encoders with prototypes or classes; GE2E stands in ``losses``."""

from __future__ import annotations

import math

import keras
from keras import ops

from myxtts import replicas
from myxtts.errors import ConfigError
from myxtts.losses import LEFT_OUT, ScaledCosines, masked_mean, unit_length, whole_mean

# Below it a squared sine is rounding, and its root has no useful slope.
LEAST_SQUARE = 1e-7
# Share of the margin that still lacks at the end of an exponential rise.
REMAINDER = 1e-3


class AngularPrototypicalLoss(ScaledCosines, keras.layers.Layer):
    """Angular prototypical loss (Chung et al. 2020, arXiv 2003.11982).

    The first utterance of each speaker is compared with the centroid of each speaker's other
    utterances by ``scale * cosine + bias``; the loss is the cross-entropy of the own speaker.
    Centroids are those of embeddings of length one. A speaker with one utterance takes no part.
    The bias is the paper's; a softmax does not depend on it, and it gets no gradient.

    Args:
        scale, bias: where the two begin; the scale stays positive.
    """

    def __init__(
        self,
        scale: float = 10.0,
        bias: float = -5.0,
        name: str = "angular_prototypical_loss",
        **kwargs,
    ):
        super().__init__(scale, bias, name=name, **kwargs)

    def call(self, y_true, y_pred):
        """Return the scalar loss of ``y_pred`` ``(batch, dim)`` under speaker ids ``(batch,)``."""
        speakers = replicas.gathered(ops.reshape(y_true, (-1,)))
        embeddings = unit_length(replicas.gathered(y_pred))
        same = ops.cast(ops.equal(speakers[:, None], speakers[None, :]), "float32")
        # An utterance is its speaker's first where none of the same speaker stands before it.
        first = ops.equal(ops.sum(ops.tril(same, k=-1), axis=1), 0.0)
        used = first & (ops.sum(same, axis=1) > 1)
        others = same * ops.cast(~first, "float32")[None, :]
        centroids = unit_length(ops.matmul(others, embeddings))
        cosines = ops.matmul(embeddings, ops.transpose(centroids))
        logits = self.scaled(cosines)
        own = ops.diagonal(logits)
        columns = ops.where(used[None, :], logits, LEFT_OUT)
        return masked_mean(ops.logsumexp(columns, axis=1) - own, used)

    def get_config(self) -> dict:
        return {"name": self.name, **self.start}


class AAMSoftmaxLoss(keras.layers.Layer):
    """Softmax with an additive angular margin (Deng et al. 2019), the arc margin.

    The logit of the own class is ``scale * cos(angle + margin)``, of the others
    ``scale * cos(angle)``. Where ``angle + margin`` passes half a turn the cosine would rise
    again; there ``cos(angle) - margin * sin(margin)`` goes on falling. With sub-centres a class
    is as near as its nearest centre (Deng et al. 2020). With ``top_k`` the nearest wrong classes
    are brought nearer by an angle of their own (inter-top-k, Zhao et al. 2021).

    Args:
        classes: number of speakers.
        scale: of all cosines.
        margin: in radians; the variable ``margin`` holds it, for a schedule to set.
        sub_centres: centres of a class.
        top_k: wrong classes with a penalty; 0 for none.
        top_k_margin: their penalty in radians.

    Raises:
        ConfigError: a number is out of its range.
    """

    def __init__(
        self,
        classes: int,
        scale: float = 30.0,
        margin: float = 0.2,
        sub_centres: int = 1,
        top_k: int = 0,
        top_k_margin: float = 0.1,
        name: str = "aam_softmax_loss",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs | {"dtype": "float32"})
        if classes < 2 or sub_centres < 1:
            raise ConfigError(
                f"AAM-softmax needs two classes and one centre at least, not {classes} and "
                f"{sub_centres}."
            )
        if not 0 <= top_k < classes:
            raise ConfigError(f"top_k of AAM-softmax is {top_k}; {classes} classes allow "
                              f"0 to {classes - 1}.")  # fmt: skip
        if not (0 <= margin < math.pi and 0 <= top_k_margin < math.pi and scale > 0):
            raise ConfigError(
                f"AAM-softmax needs a positive scale and margins from 0 to pi, not {scale}, "
                f"{margin} and {top_k_margin}."
            )
        self.classes, self.scale, self.start_margin = classes, scale, margin
        self.sub_centres, self.top_k, self.top_k_margin = sub_centres, top_k, top_k_margin

    def build(self, y_true_shape, y_pred_shape):
        shape = (y_pred_shape[-1], self.classes * self.sub_centres)
        self.centres = self.add_weight(name="centres", shape=shape, initializer="glorot_normal")
        start = keras.initializers.Constant(self.start_margin)
        self.margin = self.add_weight(name="margin", shape=(), initializer=start, trainable=False)
        self.built = True

    def call(self, y_true, y_pred):
        """Return the scalar loss of ``y_pred`` ``(batch, dim)`` under class ids ``(batch,)``."""
        labels = ops.reshape(y_true, (-1,))
        own = ops.equal(labels[:, None], ops.arange(self.classes, dtype=labels.dtype)[None, :])
        cosines = self.cosines(y_pred)
        logits = ops.where(own, _further(cosines, self.margin), self._penalised(cosines, own))
        logits = self.scale * logits
        own_logits = ops.sum(ops.where(own, logits, 0.0), axis=1)
        return whole_mean(ops.logsumexp(logits, axis=1) - own_logits)

    def cosines(self, embeddings):
        """Cosines of ``(batch, dim)`` with each class: its nearest centre, ``(batch, classes)``."""
        centres = ops.normalize(self.centres, axis=0, epsilon=1e-12)
        cosines = ops.matmul(unit_length(embeddings), centres)
        shape = (-1, self.classes, self.sub_centres)
        return ops.max(ops.reshape(cosines, shape), axis=-1)

    def _penalised(self, cosines, own):
        if not self.top_k:
            return cosines
        wrong = ops.where(own, LEFT_OUT, cosines)
        least = ops.top_k(ops.stop_gradient(wrong), self.top_k)[0][:, -1:]
        return ops.where(wrong >= least, _nearer(cosines, self.top_k_margin), cosines)

    def get_config(self) -> dict:
        names = ("name", "classes", "scale", "sub_centres", "top_k", "top_k_margin")
        return {name: getattr(self, name) for name in names} | {"margin": self.start_margin}


def scheduled_margin(step, start: int, end: int, final: float, first: float = 0.0):
    """The margin at ``step``: ``first`` until ``start``, ``final`` from ``end``.

    In between it rises exponentially, fast at first, as in wespeaker's recipes.

    Raises:
        ConfigError: the rise ends before it starts.
    """
    if not 0 <= start < end:
        raise ConfigError(f"the margin cannot rise from step {start} to step {end}.")
    share = (ops.cast(step, "float32") - start) / (end - start)
    rise = 1.0 - ops.exp(ops.clip(share, 0.0, 1.0) * math.log(REMAINDER))
    rise = ops.where(share >= 1.0, 1.0, rise)
    return first + (final - first) * rise


def _further(cosines, margin):
    """Cosine of the angle plus ``margin``, falling all the way to half a turn."""
    moved = cosines * ops.cos(margin) - _sines(cosines) * ops.sin(margin)
    return ops.where(cosines > -ops.cos(margin), moved, cosines - margin * ops.sin(margin))


def _nearer(cosines, margin):
    """Cosine of the angle less ``margin``, rising all the way to an angle of zero."""
    moved = cosines * math.cos(margin) + _sines(cosines) * math.sin(margin)
    return ops.where(cosines < math.cos(margin), moved, cosines + 1.0 - math.cos(margin))


def _sines(cosines):
    return ops.sqrt(ops.maximum(1.0 - ops.square(cosines), LEAST_SQUARE))


class SimilarityLoss(keras.layers.Layer):
    """The softmax GE2E loss as RTVC trains with it, whose files keep the two weights.

    It differs from :class:`~myxtts.losses.GE2ELoss` in small things: the scale may become
    negative, centroids are divided by their norm plus 1e-5, embeddings are taken as they are, and
    the gradients of scale and bias are a hundredth of what they would be.

    Args:
        utterances: of each speaker of a batch; they lie side by side.
        weight, bias: where the two begin.
        scale_gradient: of the gradients of the two.
    """

    def __init__(
        self,
        utterances: int,
        weight: float = 10.0,
        bias: float = -5.0,
        scale_gradient: float = 0.01,
        name: str = "similarity_loss",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs | {"dtype": "float32"})
        if utterances < 2:
            raise ConfigError(f"a speaker needs two utterances in a batch, not {utterances}.")
        self.utterances, self.scale_gradient = utterances, scale_gradient
        self.start = {"weight": weight, "bias": bias}

    def build(self, *shapes):
        for name, value in self.start.items():
            initializer = keras.initializers.Constant(value)
            own = self.add_weight(name=name, shape=(1,), initializer=initializer)
            setattr(self, f"similarity_{name}", own)
        self.built = True

    def similarities(self, embeddings):
        """Scaled cosines ``(speakers, utterances, speakers)`` of ``(batch, dim)``."""
        count, dim = self.utterances, ops.shape(embeddings)[-1]
        embeddings = replicas.gathered(ops.cast(embeddings, "float32"))
        own = ops.reshape(embeddings, (-1, count, dim))
        sums = ops.sum(own, axis=1, keepdims=True)
        centroids = _divided(sums / count)[:, 0]
        rest = _divided((sums - own) / (count - 1))
        inner = ops.sum(own * rest, axis=-1)[..., None]
        outer = ops.einsum("jid,kd->jik", own, centroids)
        same = ops.eye(ops.shape(centroids)[0])[:, None, :]
        cosines = same * inner + (1.0 - same) * outer
        return cosines * self._slowed("weight") + self._slowed("bias")

    def call(self, y_true, y_pred):
        """Scalar loss of ``y_pred`` ``(batch, dim)``; ``y_true`` is not looked at."""
        return self.of(self.similarities(y_pred))

    def of(self, similarities):
        """Scalar loss of :meth:`similarities`."""
        same = ops.eye(ops.shape(similarities)[0])[:, None, :]
        own = ops.sum(same * similarities, axis=2)
        return ops.mean(ops.logsumexp(similarities, axis=2) - own)

    def _slowed(self, name: str):
        value, share = getattr(self, f"similarity_{name}"), self.scale_gradient
        return share * value + (1.0 - share) * ops.stop_gradient(value)

    def get_config(self) -> dict:
        own = {"utterances": self.utterances, "scale_gradient": self.scale_gradient}
        return {"name": self.name, **own, **self.start}


def _divided(vectors):
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors / (ops.sqrt(ops.maximum(squares, 1e-30)) + 1e-5)
