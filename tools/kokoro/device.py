"""The device to work on."""

from __future__ import annotations

from myxtts.errors import ConfigError


def usable_device(name: str) -> str:
    """The device that ``name`` stands for, ``auto`` being CUDA where there is any.

    Raises:
        ConfigError: torch does not know it, or this machine does not have it.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (":" in name and not number.isdecimal()):
        raise ConfigError(f"there is no device {name!r}; use auto, cpu, cuda, cuda:N or mps.")
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": torch.backends.mps.is_available()}
    if int(number or 0) >= found[kind]:
        raise ConfigError(
            f"there is no device {name!r} on this machine that torch {torch.__version__} can use; "
            "take --device cpu."
        )
    return name
