"""Small models of SV2TTS with drawn weights, in the files of Real-Time-Voice-Cloning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from myxtts.audio.io import hum
from myxtts.models.tacotron import Tacotron
from myxtts.models.wavernn import WaveRNN
from myxtts.vocoder_config import WaveRNNConfig
from tests.models.test_tacotron import TINY

SENTENCE = "A sentence that is said as it stands here."
SMALL_VOCODER = WaveRNNConfig(
    bits=9,
    feat_dims=80,
    rnn_dims=16,
    fc_dims=16,
    compute_dims=8,
    res_out_dims=8,
    res_blocks=1,
    pad=2,
)


def write_models(folder: Path) -> Path:
    """Write ``encoder.pt``, ``synthesizer.pt`` and ``vocoder.pt``; the folder."""
    pytest.importorskip("torch", reason="torch writes the files")
    from myxtts.weights import rtvc_synthesizer, rtvc_vocoder
    from myxtts.weights.rtvc_encoder import EncoderFile, drawn, write_encoder

    keras.utils.set_random_seed(5)
    folder.mkdir(parents=True, exist_ok=True)
    write_encoder(folder / "encoder.pt", EncoderFile(1, drawn(0)))
    synthesizer = Tacotron(replace(TINY, n_mels=80, speaker_dims=256))
    synthesizer.build()
    synthesizer.step = 7
    rtvc_synthesizer.write(folder / "synthesizer.pt", synthesizer)
    vocoder = WaveRNN(SMALL_VOCODER)
    vocoder.build()
    rtvc_vocoder.write(folder / "vocoder.pt", vocoder, 7)
    return folder


def write_reference(path: Path, pitch: float = 120.0, rate: int = 22_050) -> Path:
    """Write two seconds of a voice-like tone in two channels."""
    wave = 0.5 * hum(2.0, pitch, rate)
    soundfile.write(path, np.stack([wave, wave], axis=1), rate)
    return path
