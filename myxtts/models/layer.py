"""The base of the layers that models are made of."""

from __future__ import annotations

import keras


class Layer(keras.layers.Layer):
    """A layer whose configuration Keras makes of the plain values its constructor was given.

    The precision in it is left aside: a layer made of a configuration computes under the
    policy of the moment, as the layers inside it do, which are made anew.
    """

    @classmethod
    def from_config(cls, config: dict) -> Layer:
        """Make the layer that ``get_config`` describes."""
        return super().from_config({key: config[key] for key in config if key != "dtype"})
