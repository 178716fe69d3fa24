"""The vocoder's stage: it learns, goes on where it was killed, and leaves RTVC's files."""

import os
import signal

import keras
import numpy as np
import pytest

from myxtts.errors import WeightsError
from myxtts.models.wavernn import WaveRNN
from myxtts.training import stage
from myxtts.training.logs import read_history
from myxtts.training.optimizers import set_steps
from myxtts.training.run import train
from myxtts.training.stages.vocoder import VocoderTask, make_adam
from myxtts.training.stages.vocoder_system import VOCODER_SYSTEM
from myxtts.weights import rtvc_vocoder
from myxtts.weights.torch_file import write_torch_file
from tests.vocoder_data import make_vocoder_data, small_config


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_vocoder_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Folder of an unbroken run of four steps."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    train(small_config(data, run_dir), VOCODER_SYSTEM)
    return run_dir


def preset_bytes(run_dir):
    return (run_dir / "preset" / "vocoder.safetensors").read_bytes()


def test_the_loss_falls(data, tmp_path):
    config = small_config(data, tmp_path, vocoder={"steps": 30}, validate_every=30, heard=0)
    train(config, VOCODER_SYSTEM)
    losses = [item["loss"] for item in read_history(tmp_path) if item["kind"] == "validation"]
    assert losses[-1] < losses[0] - 0.2


def test_a_run_leaves_rtvcs_files(whole):
    pytest.importorskip("torch", reason="torch is not installed")
    names = {path.name for path in whole.iterdir()}
    sound = "0k_steps_1_gen_batched_target8000_overlap400.wav"
    assert {"vocoder.pt", "checkpoint_0k_steps.pt", sound, "0k_steps_1_target.wav"} <= names
    model, adam = rtvc_vocoder.open_vocoder(whole / "vocoder.pt")
    preset = WaveRNN.from_preset(whole / "preset")
    assert (model.trained_steps, adam.step, preset.trained_steps) == (4, 4, 4)


def test_resumed_after_a_kill_gives_the_same_bytes(data, whole, tmp_path, monkeypatch):
    own, calls = stage.weighted_means, []

    def kill(batches, step):
        calls.append(step)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return own(batches, step)

    monkeypatch.setattr("myxtts.training.stage.weighted_means", kill)
    with pytest.raises(KeyboardInterrupt):
        train(small_config(data, tmp_path), VOCODER_SYSTEM)
    assert not (tmp_path / "preset").exists()
    train(small_config(data, tmp_path, resume=True), VOCODER_SYSTEM)
    assert preset_bytes(tmp_path) == preset_bytes(whole)
    assert (tmp_path / "vocoder.pt").read_bytes() == (whole / "vocoder.pt").read_bytes()


def test_ctrl_c_leaves_what_was_learned_until_then(data, tmp_path, monkeypatch):
    """Between two validations, of which the next would have written it."""

    def stop(self, step, numbers, batch):
        if step == 2:
            # It ends the step that comes next.
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(VocoderTask, "stepped", stop)
    told = {"vocoder": {"steps": 9}, "validate_every": 1000, "checkpoint_every": 1000}
    with pytest.raises(KeyboardInterrupt):
        train(small_config(data, tmp_path, **told), VOCODER_SYSTEM)
    assert rtvc_vocoder.open_vocoder(tmp_path / "vocoder.pt")[0].trained_steps == 3


@pytest.mark.parametrize("batches", [1, 2])
def test_a_file_of_rtvc_is_trained_on_with_its_adam(data, whole, tmp_path, batches):
    told = {"init_from": str(whole / "vocoder.pt"), "gradient_accumulation": batches}
    config = small_config(data, tmp_path, **told)
    result = train(config, VOCODER_SYSTEM)
    model, adam = rtvc_vocoder.open_vocoder(tmp_path / "vocoder.pt")
    assert (model.trained_steps, adam.step) == (8, 8)
    assert WaveRNN.from_preset(result.preset).trained_steps == 8


@pytest.mark.parametrize("batches", [1, 2])
def test_rates_leave_out_the_steps_that_adam_had_made_before(data, tmp_path, batches):
    told = {"steps": 20, "learning_rate": 1e-3, "final_lr_fraction": 0.1}
    config = small_config(data, tmp_path, vocoder=told, gradient_accumulation=batches)
    counted = keras.Variable(1000, dtype="int64", trainable=False)
    adam = make_adam(config.training, [keras.Variable(np.zeros(3))], counted)
    for step, rate in ((1000, 1e-3), (1010, 0.55e-3), (1020, 1e-4)):
        set_steps(adam, step)
        assert float(adam.learning_rate) == pytest.approx(rate, rel=1e-4)


def test_mixtures_learn_too(data, tmp_path):
    config = small_config(data, tmp_path).merged({"model": {"mode": "MOL"}})
    train(config, VOCODER_SYSTEM)
    assert WaveRNN.from_preset(tmp_path / "preset").sizes.mode == "MOL"


def test_a_synthesizer_is_refused(data, tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    path = tmp_path / "synthesizer.pt"
    write_torch_file(path, {"model_state": {"encoder.embedding.weight": np.zeros((66, 4))}})
    with pytest.raises(WeightsError, match=r"synthesizer\.pt is no vocoder of .* a synthesizer"):
        train(small_config(data, tmp_path / "run", init_from=str(path)), VOCODER_SYSTEM)
