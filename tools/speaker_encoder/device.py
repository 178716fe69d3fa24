"""The device that a program is told to use."""

from __future__ import annotations

from myxtts.errors import ConfigError

DEVICES = ("cpu", "cuda", "best")


def use(device: str) -> None:
    """Leave TensorFlow no other device than the one asked for; ``best`` leaves it the choice.

    Raises:
        ConfigError: it is not there.
    """
    if device == "best":
        return
    import tensorflow as tf

    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not tf.config.list_physical_devices("GPU"):
        raise ConfigError("the device is to be cuda, and TensorFlow sees no GPU here; give cpu.")
