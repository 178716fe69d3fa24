"""The HiFi-GAN's stage: it learns, its judges join, and a killed run goes on to the same bytes."""

import os
import signal

import numpy as np
import pytest

from myxtts.errors import CheckpointError, MyXTTSError
from myxtts.generation.vocoders import HifiGanVocoder, open_vocoder
from myxtts.inference.sv2tts import VOCODER, locate
from myxtts.models.mel_hifigan import MelHifiGan
from myxtts.training.logs import read_history
from myxtts.training.run import train
from myxtts.training.stages import hifigan
from myxtts.training.stages.hifigan_system import HIFIGAN_SYSTEM
from myxtts.vocoder_config import HifiGanSettings
from tests.vocoder_data import make_vocoder_data

SMALL = {
    "model": {
        "feat_dims": 5,
        "initial_channels": 8,
        "upsample_rates": [5],
        "upsample_kernels": [10],
        "resblock_kernels": [3],
        "resblock_dilations": [1],
        "spectra_hop": 2,
    },
    "data": {"crop_frames": 20},
    "training": {
        "hifigan": {"steps": 4, "batch_size": 4, "learning_rate": 0.01, "warmup_steps": 0},
        "discriminators": ["multi_resolution"],
        "adversarial_start": 2,
        "validate_every": 2,
        "checkpoint_every": 2,
        "heard": 1,
    },
}


def small(folder, run_dir, model=None, **training):
    values = {"data": {"train_data": str(folder)}, "training": {"output_dir": str(run_dir)}}
    config = HifiGanSettings().merged(SMALL).merged(values)
    return config.merged({"training": training, "model": model or {}})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_vocoder_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Folder of an unbroken run of four steps, half of them with judges."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    train(small(data, run_dir), HIFIGAN_SYSTEM)
    return run_dir


def preset_bytes(run_dir):
    return (run_dir / "preset" / "vocoder.safetensors").read_bytes()


def test_the_loss_falls(data, tmp_path):
    alone = {"hifigan": {"steps": 30}, "adversarial_start": 30, "validate_every": 30, "heard": 0}
    train(small(data, tmp_path, model={"spectra_hop": 0, "upsample_rates": [10]}, **alone),
          HIFIGAN_SYSTEM)  # fmt: skip
    found = [item["mel_loss"] for item in read_history(tmp_path) if item["kind"] == "validation"]
    assert found[-1] < 0.8 * found[0]


@pytest.mark.slow
def test_resumed_after_a_kill_gives_the_same_bytes(data, whole, tmp_path, monkeypatch):
    own, calls = hifigan.HifiGanTask.sounds, []

    def kill(task, batch):
        calls.append(batch)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return own(task, batch)

    monkeypatch.setattr(hifigan.HifiGanTask, "sounds", kill)
    with pytest.raises(KeyboardInterrupt):
        train(small(data, tmp_path), HIFIGAN_SYSTEM)
    assert not (tmp_path / "preset").exists()
    train(small(data, tmp_path, resume=True), HIFIGAN_SYSTEM)
    assert preset_bytes(tmp_path) == preset_bytes(whole)


@pytest.mark.slow
def test_a_preset_is_trained_on(data, whole, tmp_path):
    result = train(small(data, tmp_path, init_from=str(whole / "preset")), HIFIGAN_SYSTEM)
    assert MelHifiGan.from_preset(result.preset).trained_steps == 8


def test_a_run_is_a_vocoder(whole):
    assert locate(whole, VOCODER) == whole / "preset"
    vocoder = open_vocoder(whole)
    assert isinstance(vocoder, HifiGanVocoder)
    assert (vocoder.n_mels, vocoder.sample_rate) == (5, 16_000)
    mel = np.random.default_rng(0).uniform(-4, 4, (5, 30)).astype("float32")
    wave = vocoder.vocode(mel)
    assert wave.shape == (290,) and np.any(wave) and np.abs(wave).max() <= 1
    with pytest.raises(MyXTTSError, match="5 channels"):
        vocoder.vocode(mel[:4])


def test_what_is_no_hifigan_is_not_trained_on(data, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(CheckpointError):
        train(small(data, tmp_path / "run", init_from=str(tmp_path / "other")), HIFIGAN_SYSTEM)
