"""Fits of a fake singer, from the first iteration to the last file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="the voice optimiser is torch's")

from myxtts.errors import (  # noqa: E402
    AudioError,
    CheckpointError,
    ConfigError,
    TextError,
)
from tests.tools.kokoro.fakes import BandEmbedder, FakeBackend, fake_voices  # noqa: E402
from tools.kokoro.voices import load_voice, save_voice  # noqa: E402
from tools.kokoro_voice.config import OptimizerConfig  # noqa: E402
from tools.kokoro_voice.optimizer import VoiceGradientOptimizer, create_optimizer  # noqa: E402

METHODS = ("autograd", "finite-diff", "spsa", "cma")
TEXT = "hellothere"
CONFIG = OptimizerConfig(
    phonemes=(TEXT,), num_iterations=6, learning_rate=0.1, save_every=3, device="cpu"
)


def optimizer(config=CONFIG, backend=None) -> VoiceGradientOptimizer:
    return VoiceGradientOptimizer(backend or FakeBackend(), BandEmbedder(), fake_voices(), config)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A singer whose voice is not among those of the space."""
    backend = FakeBackend()
    style = fake_voices(1, seed=9)["v0_a"][9]
    (audio,) = backend.synthesize(backend.tokens("abcdefghij" * 6), style)
    path = tmp_path_factory.mktemp("target") / "target.wav"
    soundfile.write(path, audio, 24_000)
    return path


def history_of(folder) -> dict:
    return json.loads((folder / "optimization_history.json").read_text())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_comes_nearer(method, target, tmp_path):
    if method == "cma":
        pytest.importorskip("cma", reason="the package cma is not installed")
    config = replace(CONFIG, gradient_method=method, num_iterations=20)
    result = optimizer(config).optimize(target, tmp_path)
    assert result["similarity_best"] > result["similarity_start"]
    assert result["iterations"] == 20


def test_the_documented_files_are_written(target, tmp_path):
    result = optimizer().optimize(target_audio_path=target, output_dir=tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "voice_best.pt",
        "voice_best.npz",
        "voice_best.bin",
        "voice_final.pt",
        "voice_iter_0003.pt",
        "voice_iter_0006.pt",
        "optimization_history.json",
        "optimization_history.png",
        "optimizer_state.pt",
        "SHA256SUMS",
        "sample_before.wav",
        "sample_after.wav",
    }
    assert result["output_dir"] == str(tmp_path)
    history = history_of(tmp_path)
    assert history["iteration"] == [1, 2, 3, 4, 5, 6]
    assert len(history["loss"]) == len(history["similarity"]) == 6


def test_the_best_voice_is_the_same_in_its_three_forms(target, tmp_path):
    optimizer().optimize(target, tmp_path)
    best = load_voice(tmp_path / "voice_best.pt")
    assert best.shape == (510, 1, 256)
    for suffix in (".npz", ".bin"):
        np.testing.assert_array_equal(load_voice(tmp_path / f"voice_best{suffix}"), best)


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_is_an_unbroken_one(method, target, tmp_path):
    if method == "cma":
        pytest.importorskip("cma", reason="the package cma is not installed")
    config = replace(CONFIG, gradient_method=method)
    optimizer(config).optimize(target, tmp_path / "whole")
    optimizer(replace(config, num_iterations=4)).optimize(target, tmp_path / "broken")
    optimizer(config).optimize(target, tmp_path / "broken", resume=True)
    assert history_of(tmp_path / "broken") == history_of(tmp_path / "whole")
    for name in ("voice_best.pt", "voice_final.pt", "voice_iter_0006.pt"):
        one, other = (load_voice(tmp_path / run / name) for run in ("whole", "broken"))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_keeps_its_best_and_can_go_on(method, target, tmp_path):
    if method == "cma":
        pytest.importorskip("cma", reason="the package cma is not installed")
    config = replace(CONFIG, gradient_method=method)
    optimizer(config).optimize(target, tmp_path / "whole")
    calls = {"autograd": 5, "finite-diff": 25, "spsa": 7, "cma": 25}[method]
    stopping = optimizer(config, FakeBackend())
    stopping.backend.interrupt_after = calls
    # The sample after the fit is spoken too.
    on_break = lambda progress: None  # noqa: E731
    result = fit_until_interrupted(stopping, target, tmp_path / "broken", on_break)
    assert result["stopped"] == "interrupted"
    assert 0 < result["iterations"] < 6
    assert load_voice(tmp_path / "broken" / "voice_best.pt").shape == (510, 1, 256)
    optimizer(config).optimize(target, tmp_path / "broken", resume=True)
    assert history_of(tmp_path / "broken") == history_of(tmp_path / "whole")


def fit_until_interrupted(fit, target, folder, on_step):
    """Run into the backend's KeyboardInterrupt once; afterwards it speaks again."""
    speak = fit.backend.waveform

    def once(*args, **kwargs):
        try:
            return speak(*args, **kwargs)
        except KeyboardInterrupt:
            fit.backend.interrupt_after = None
            raise

    fit.backend.waveform = once
    return fit.optimize(target, folder, on_step=on_step)


def test_equal_seeds_give_equal_runs(target, tmp_path):
    config = replace(CONFIG, gradient_method="spsa")
    for run, seed in (("one", 0), ("same", 0), ("other", 1)):
        optimizer(replace(config, seed=seed)).optimize(target, tmp_path / run)
    assert history_of(tmp_path / "one") == history_of(tmp_path / "same")
    assert history_of(tmp_path / "one") != history_of(tmp_path / "other")


def test_voices_are_spoken_in_batches(target, tmp_path):
    fit = optimizer(replace(CONFIG, gradient_method="finite-diff", num_iterations=1, batch_size=3))
    batches, speak = [], fit.backend.synthesize

    def counted(tokens, styles):
        batches.append(len(styles))
        return speak(tokens, styles)

    fit.backend.synthesize = counted
    fit.optimize(target, tmp_path)
    assert max(batches) == 3
    assert batches.count(3) == 3  # one point and eight beside it


def test_several_texts_are_spoken_in_every_step(target, tmp_path):
    two = replace(CONFIG, phonemes=(TEXT, "goodbye"))
    assert optimizer(two).optimize(target, tmp_path)["syntheses"] == 12


def test_a_fit_that_no_longer_improves_stops_early(target, tmp_path):
    # A step so large that nothing after the start is any good.
    config = replace(CONFIG, learning_rate=50.0, patience=2, num_iterations=50)
    result = optimizer(config).optimize(target, tmp_path)
    assert result["stopped"] == "patience"
    assert result["iterations"] < 50


def test_a_fit_stops_when_its_time_is_up(target, tmp_path):
    result = optimizer(replace(CONFIG, max_seconds=1e-9)).optimize(target, tmp_path)
    assert (result["stopped"], result["iterations"]) == ("time", 0)


def test_a_loss_that_is_no_number_ends_the_fit_with_what_there_is(target, tmp_path):
    fit = optimizer()
    speak = fit.backend.waveform
    fit.backend.waveform = lambda tokens, style, durations=None: (
        speak(tokens, style) * (float("nan") if style.requires_grad else 1)
    )
    result = fit.optimize(target, tmp_path)
    assert result["stopped"] == "diverged"
    assert np.isfinite(load_voice(tmp_path / "voice_best.pt")).all()


@pytest.mark.parametrize(
    "change",
    [
        {"loss_type": "l2"},
        {"optimizer_type": "adamw"},
        {"learning_rate": 0.05},
        {"learning_rate": 5.0, "plateau": 1},
        {"length_model": "replicate"},
        {"length_model": "replicate", "target_frame_idx": 400},
        {"n_variable_dims": 20},
        {"pca_components": 3},
        {"halves": "joint"},
        {"spread_weight": 10.0},
        {"start": "v3_a"},
        {"gradient_method": "finite-diff"},
        {"gradient_method": "finite-diff", "fd_epsilon": 0.5},
        {"gradient_method": "cma", "cma_sigma": 1.0},
        {"phonemes": ("quitealongone",)},
    ],
    ids=str,
)
def test_every_setting_changes_the_path(change, target, tmp_path):
    if change.get("gradient_method") == "cma":
        pytest.importorskip("cma", reason="the package cma is not installed")
    usual = replace(CONFIG, learning_rate=0.5)
    before = {key: value for key, value in list(change.items())[:-1]}
    optimizer(replace(usual, **before)).optimize(target, tmp_path / "usual")
    optimizer(replace(usual, **change)).optimize(target, tmp_path / "changed")
    usual_path, changed_path = (history_of(tmp_path / run)["loss"] for run in ("usual", "changed"))
    assert usual_path != changed_path


def test_resuming_with_other_settings_names_the_difference(target, tmp_path):
    optimizer().optimize(target, tmp_path)
    with pytest.raises(CheckpointError, match="learning_rate was 0.1, now 0.2"):
        optimizer(replace(CONFIG, learning_rate=0.2)).optimize(target, tmp_path, resume=True)


def test_resuming_nothing_or_damage_says_so(target, tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        optimizer().optimize(target, tmp_path, resume=True)
    (tmp_path / "optimizer_state.pt").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="damaged"):
        optimizer().optimize(target, tmp_path, resume=True)


def test_voices_of_an_earlier_run_do_not_stay(target, tmp_path):
    optimizer().optimize(target, tmp_path)
    optimizer(replace(CONFIG, num_iterations=3)).optimize(target, tmp_path)
    assert [path.name for path in tmp_path.glob("voice_iter_*")] == ["voice_iter_0003.pt"]


def test_the_start_may_be_a_voice(target, tmp_path):
    fit = optimizer(replace(CONFIG, start="v2_a"))
    np.testing.assert_allclose(fit.space.pack(fit.start), fake_voices()["v2_a"], atol=1e-5)
    with pytest.raises(ConfigError, match="one of the voices"):
        optimizer(replace(CONFIG, start="nobody"))


@pytest.mark.parametrize(
    ("seconds", "gain", "sentence"), [(0.2, 0.3, "lasts 0.2 s"), (2.0, 0.0, "is silent")]
)
def test_a_target_without_a_voice_is_refused(seconds, gain, sentence, tmp_path):
    noise = np.random.default_rng(0).normal(size=int(24_000 * seconds)) * gain
    soundfile.write(tmp_path / "bad.wav", noise.clip(-1, 1), 24_000)
    with pytest.raises(AudioError, match=sentence):
        optimizer().optimize(tmp_path / "bad.wav", tmp_path / "out")


def test_a_text_of_punctuation_is_refused(target, tmp_path):
    with pytest.raises(TextError, match="no phonemes"):
        optimizer(replace(CONFIG, phonemes=("...",))).optimize(target, tmp_path)


def test_autograd_wants_a_backend_with_gradients(target, tmp_path):
    backend = FakeBackend()
    backend.differentiable = False
    with pytest.raises(ConfigError, match="passes no gradients"):
        optimizer(backend=backend).optimize(target, tmp_path)


def test_create_optimizer_takes_a_backend_for_the_pipeline(tmp_path):
    pytest.importorskip("resemblyzer", reason="its weights are the embedder's")
    for name, voice in fake_voices().items():
        save_voice(tmp_path / f"{name}.bin", voice)
    config = replace(CONFIG, voices=str(tmp_path), embedder="resemblyzer")
    fit = create_optimizer(kokoro_pipeline=FakeBackend(), config=config)
    assert fit.backend.name == "fake"
    with pytest.raises(ConfigError, match="neither a KPipeline nor a backend"):
        create_optimizer(kokoro_pipeline=object(), config=config)


def test_the_start_may_be_a_voice_that_is_given():
    config = replace(CONFIG, start="map")
    voice = fake_voices()["v3_a"]
    fit = VoiceGradientOptimizer(FakeBackend(), BandEmbedder(), fake_voices(), config, voice)
    np.testing.assert_allclose(fit.space.pack(fit.start), voice, atol=1e-5)
    with pytest.raises(ConfigError, match="'map'"):
        optimizer(config)
