"""Resemblyzer's speaker encoder with a front-end that passes gradients."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn

from myxtts.audio.frontends import RESEMBLYZER, analysis_window, mel_filterbank
from myxtts.digests import file_sha256
from myxtts.errors import WeightsError
from myxtts.weights.torch_file import read_torch_file
from tools.kokoro.parts import package_folder
from tools.kokoro.resampling import resample

PARTIAL_FRAMES = 160
PARTIALS_PER_SECOND = 1.3
MIN_COVERAGE = 0.75
VOLUME_DBFS = -30.0


class ResemblyzerEmbedder(nn.Module):
    """GE2E encoder (Wan et al. 2018) with the weights that ``resemblyzer`` 0.1.4 ships.

    Volume, mel spectrogram and overlapping partials are the package's own; silences
    are not trimmed. The embedding is ``(256,)`` of length one.

    Args:
        weights: a ``pretrained.pt``; None takes the installed package's.
        device: where it runs.

    Raises:
        WeightsError: the weights are missing or another model's.
    """

    name = "resemblyzer"

    def __init__(self, weights: str | Path | None = None, device: str = "cpu") -> None:
        super().__init__()
        self.lstm = nn.LSTM(RESEMBLYZER.n_mels, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        file = Path(weights) if weights else _packaged_weights()
        _load(self, file)
        self.provenance = f"resemblyzer/{file.name}@sha256:{file_sha256(file)}"
        window = torch.from_numpy(analysis_window(RESEMBLYZER)).float()
        self.register_buffer("window", window)
        self.register_buffer("filters", torch.from_numpy(mel_filterbank(RESEMBLYZER)).float())
        # Left in training mode: cuDNN's LSTM has no gradient in evaluation; there is no dropout.
        self.to(device).requires_grad_(False)

    def embed(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Embedding ``(256,)`` of ``(samples,)``."""
        audio = resample(audio.to(self.window), sample_rate, RESEMBLYZER.sample_rate)
        starts = partial_starts(audio.shape[0])
        needed = (starts[-1] + PARTIAL_FRAMES) * RESEMBLYZER.hop_length
        audio = nn.functional.pad(_loud_enough(audio), (0, max(0, needed - audio.shape[0])))
        mel = self._mel(audio)
        partials = torch.stack([mel[start : start + PARTIAL_FRAMES] for start in starts])
        _, (hidden, _) = self.lstm(partials)
        embeddings = nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)
        return nn.functional.normalize(embeddings.mean(dim=0), dim=0)

    def _mel(self, audio: torch.Tensor) -> torch.Tensor:
        """Power mel spectrogram ``(frames, 40)``, without a logarithm."""
        spectrum = torch.stft(
            audio,
            RESEMBLYZER.n_fft,
            RESEMBLYZER.hop_length,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        return (spectrum.real**2 + spectrum.imag**2).T @ self.filters


def partial_starts(samples: int) -> list[int]:
    """First frames of the partials of 160 frames that cover so many samples.

    A last partial of which the samples fill less than three quarters is left out.
    """
    hop = RESEMBLYZER.hop_length
    frames = math.ceil((samples + 1) / hop)
    step = round(RESEMBLYZER.sample_rate / PARTIALS_PER_SECOND / hop)
    starts = list(range(0, max(1, frames - PARTIAL_FRAMES + step + 1), step))
    covered = (samples / hop - starts[-1]) / PARTIAL_FRAMES
    return starts[:-1] if covered < MIN_COVERAGE and len(starts) > 1 else starts


def _loud_enough(audio: torch.Tensor) -> torch.Tensor:
    """Raised to -30 dBFS where it is quieter; silence stays silence."""
    rms = torch.sqrt(torch.mean(audio**2) + 1e-20)
    return audio * torch.clamp(10 ** (VOLUME_DBFS / 20) / rms, min=1.0, max=1e6)


def _packaged_weights() -> Path:
    # Importing the package would want webrtcvad, which nothing here uses.
    folder = package_folder("resemblyzer")
    if folder is None:
        raise WeightsError(
            "Resemblyzer's weights are missing; they come with "
            "'pip install --no-deps resemblyzer==0.1.4'."
        )
    return folder / "pretrained.pt"


def _load(model: nn.Module, path: Path) -> None:
    state = read_torch_file(path, "model_state")
    try:
        model.load_state_dict({name: torch.from_numpy(state[name]) for name in model.state_dict()})
    except (RuntimeError, KeyError) as error:
        raise WeightsError(f"{path} does not hold Resemblyzer's weights.") from error
