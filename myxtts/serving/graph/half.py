"""Weights that are stored as float16 and computed with as float32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf


class HalfStored(tf.saved_model.experimental.TrackableResource):
    """A float32 variable that a server fills from a float16 one when it loads the model.

    Args:
        stored: float16 of any shape; the owner of both must track it.
        name: of the variable, unlike any other's.
    """

    def __init__(self, stored: tf.Variable, name: str):
        super().__init__()
        self.name = name
        self.shape = stored.shape
        self.stored = stored
        # A graph that was the first to ask for the handle would have one of its own.
        self._initialize()

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(
            dtype="float32", shape=self.shape, shared_name=self.name, container=""
        )

    def _initialize(self):
        tf.raw_ops.AssignVariableOp(
            resource=self.resource_handle, value=tf.cast(self.stored, "float32")
        )

    def read(self) -> tf.Tensor:
        """Its float32 value."""
        value = tf.raw_ops.ReadVariableOp(resource=self.resource_handle, dtype="float32")
        return tf.ensure_shape(value, self.shape)


class HalfWeights:
    """Weights of layers, stored in half where they are float32.

    Attributes:
        replaced: those that are float32.
        kept: the others.
        stored: float16 variables.
        computed: float32 ones, filled from them.

    Args:
        weights: Keras variables.
    """

    def __init__(self, weights: Iterable[keras.Variable]):
        weights = list(weights)
        self.replaced = [item for item in weights if item.dtype == "float32"]
        self.kept = [item for item in weights if item.dtype != "float32"]
        self.stored = [
            tf.Variable(tf.cast(item.value, "float16"), trainable=False) for item in self.replaced
        ]
        self.computed = [
            HalfStored(stored, f"half/{number}/{item.path}")
            for number, (stored, item) in enumerate(zip(self.stored, self.replaced, strict=True))
        ]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, layers that are traced read these instead of their own."""
        own = [item._value for item in self.replaced]
        try:
            for item, computed in zip(self.replaced, self.computed, strict=True):
                item._value = computed.read()
            yield
        finally:
            for item, value in zip(self.replaced, own, strict=True):
                item._value = value
