"""The synthesizer's stage: it learns, changes phases, resumes to the same bytes, exports."""

import json

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from myxtts.data.synthesizer import (
    PhasePlan,
    SynthesizerCorpus,
    batches,
    open_synthesizer_data,
    read_table,
)
from myxtts.errors import ConfigError, DataError, WeightsError
from myxtts.models.tacotron import Tacotron
from myxtts.settings import to_dict
from myxtts.synthesizer_config import COMPATIBLE, SynthesizerConfig
from myxtts.text.symbols import SymbolTokenizer
from myxtts.training.logs import read_history
from myxtts.training.run import train
from myxtts.training.stages.synthesizer import PhaseRates, with_gaps
from myxtts.training.stages.synthesizer_system import SYNTHESIZER_SYSTEM
from myxtts.weights import rtvc_synthesizer
from myxtts.weights.rtvc import MARKS
from myxtts.weights.torch_file import read_torch_file, write_torch_file
from tests.models.test_tacotron import TINY

TEXTS = ("abcd", "dcba", "aabb", "ccdd", "abab", "dd cc", "bcbc")


def write_corpus(folder, zero: bool = False):
    """Every letter has a mel of its own; with ``zero`` one row of no frames comes between."""
    for name in ("mels", "embeds", "audio"):
        (folder / name).mkdir(parents=True)
    rng, lines = np.random.default_rng(0), []
    sounds = {letter: rng.normal(size=5) for letter in "abcd "}
    for number, text in enumerate(TEXTS):
        mel = np.repeat([sounds[letter] for letter in text], 3, axis=0).astype("float32")
        own = np.eye(4, dtype="float32")[number % 4]
        np.save(folder / "mels" / f"mel-{number}.npy", mel)
        np.save(folder / "embeds" / f"embed-{number}.npy", own)
        names = f"audio-{number}.npy|mel-{number}.npy|embed-{number}.npy"
        lines.append(f"{names}|{len(mel) * 200}|{len(mel)}|{text}")
    if zero:
        lines.insert(2, "audio-x.npy|mel-x.npy|embed-x.npy|0|0|nothing")
    (folder / "train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def settings(corpus, run, **training) -> SynthesizerConfig:
    values = {
        "model": {**to_dict(TINY), "dropout": 0.1},
        "data": {"train_data": str(corpus)},
        "training": {
            "output_dir": str(run),
            "schedule": ["3:4e-3:6:3", "2:2e-3:12:4"],
            "validate_every": 4,
            "checkpoint_every": 2,
            **training,
        },
    }
    return SynthesizerConfig().merged(values)


def contents(run) -> dict[str, np.ndarray]:
    return load_file(run / "preset" / "synthesizer.safetensors")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("synthesizer") / "corpus")


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "whole"
    train(settings(corpus, run), SYNTHESIZER_SYSTEM)
    return run


def test_it_learns_and_leaves_what_rtvc_leaves(whole):
    losses = [item["loss"] for item in read_history(whole) if item["kind"] == "validation"]
    assert losses[-1] < losses[0]
    model = Tacotron.from_preset(whole / "preset")
    assert model.r == 2 and model.step in (8, 12)
    assert rtvc_synthesizer.read(whole / "synthesizer.pt").step == model.step
    assert list((whole / "plots").glob("attention_step_*_sample_1.png"))
    assert list((whole / "plots").glob("step-*-mel-spectrogram_sample_1.png"))
    last = np.load(whole / "mel-spectrograms" / "mel-prediction-step-12_sample_1.npy")
    assert last.dtype == np.float32 and last.shape[1] == model.config.n_mels
    table = (whole / "metas" / "CharacterEmbeddings.tsv").read_text().split("\n")
    assert table[:2] == ["_", "~"] and table[65] == "\\s"


@pytest.mark.slow
def test_a_killed_run_gives_the_same_weights(corpus, whole, tmp_path, monkeypatch):
    from myxtts.training.trainer import Trainer

    class Killed(BaseException):
        pass

    after = Trainer._after_step

    def die(self, numbers, bar):
        after(self, numbers, bar)
        if self.progress.step == 7:
            raise Killed

    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "_after_step", die)
        train(settings(corpus, run), SYNTHESIZER_SYSTEM)
    train(settings(corpus, run, resume=True), SYNTHESIZER_SYSTEM)
    mine, theirs = contents(run), contents(whole)
    assert mine.keys() == theirs.keys()
    # Not to the bit: two unbroken runs, too, differ now and then in the last bit of what goes back
    # through the attention, and Adam makes a step of any gradient that is almost zero.
    for name in mine:
        np.testing.assert_allclose(mine[name], theirs[name], rtol=0, atol=1e-4, err_msg=name)


def test_a_file_of_rtvc_goes_on(corpus, whole, tmp_path):
    schedule = ["3:4e-3:6:3", "2:2e-3:16:4"]
    config = settings(
        corpus, tmp_path / "run", schedule=schedule, init_from=str(whole / "synthesizer.pt")
    )
    before = rtvc_synthesizer.read(whole / "synthesizer.pt").step
    result = train(config, SYNTHESIZER_SYSTEM)
    assert result.steps["synthesizer"] == 16 - before
    assert json.loads((tmp_path / "run" / "origin.json").read_text()) == {"steps": before}
    with pytest.raises(ConfigError, match="nothing is left to do"):
        train(
            settings(corpus, tmp_path / "x", schedule=["2:1e-3:3:2"],
                     init_from=str(whole / "preset")), SYNTHESIZER_SYSTEM)  # fmt: skip


@pytest.mark.slow
def test_a_run_begun_with_a_file_keeps_its_rates_when_it_is_resumed(corpus, whole, tmp_path):
    schedule = ["3:4e-3:6:3", "2:2e-3:20:4", "2:1e-3:99:4"]
    begun = {"schedule": schedule, "init_from": str(whole / "synthesizer.pt")}
    for resume, steps in ((False, 2), (True, 4)):
        more = {"resume": resume, "synthesizer": {"steps": steps}}
        train(settings(corpus, tmp_path / "run", **begun, **more), SYNTHESIZER_SYSTEM)
        rows = [row for row in read_history(tmp_path / "run") if row["kind"] == "train"]
        assert rows[-1]["step"] == steps
        assert rows[-1]["learning_rate"] == pytest.approx(2e-3)


@pytest.mark.slow
def test_the_mean_of_the_weights_is_what_is_judged_and_kept(corpus, tmp_path):
    told = {}
    for name, share in (("last", 0.0), ("mean", 0.9), ("resumed", 0.9)):
        steps = {"synthesizer": {"steps": 4}, "validate_every": 2, "weight_average": share}
        if name == "resumed":
            begun = steps | {"synthesizer": {"steps": 2}}
            train(settings(corpus, tmp_path / name, **begun), SYNTHESIZER_SYSTEM)
        more = {"resume": name == "resumed"}
        train(settings(corpus, tmp_path / name, **steps, **more), SYNTHESIZER_SYSTEM)
        rows = read_history(tmp_path / name)
        told[name] = {row["kind"]: row["loss"] for row in rows}
    assert told["mean"]["train"] == told["last"]["train"]
    assert told["mean"]["validation"] != told["last"]["validation"]
    kept = {name: contents(tmp_path / name) for name in told}
    largest = max(np.abs(kept["mean"][key] - kept["last"][key]).max() for key in kept["mean"])
    assert largest > 1e-4
    for key, value in kept["mean"].items():
        np.testing.assert_allclose(kept["resumed"][key], value, atol=1e-4, err_msg=key)
    # The file beside has the same weights as the preset.
    written, preset = Tacotron(TINY), Tacotron.from_preset(tmp_path / "mean" / "preset")
    written.build()
    rtvc_synthesizer.load(
        written, read_torch_file(tmp_path / "mean" / "synthesizer.pt", "model_state", bare=True)
    )
    for name, value in preset.variables_by_name().items():
        np.testing.assert_array_equal(written.variables_by_name()[name], value, err_msg=name)


def test_a_vocoder_is_no_synthesizer(corpus, tmp_path):
    write_torch_file(tmp_path / "vocoder.pt", {"model_state": {MARKS["vocoder"]: np.zeros((2, 2))}})
    config = settings(corpus, tmp_path / "run", init_from=str(tmp_path / "vocoder.pt"))
    with pytest.raises(WeightsError, match="is no synthesizer of .* a vocoder"):
        train(config, SYNTHESIZER_SYSTEM)


def test_rows_without_frames_shift_nothing(tmp_path):
    lines = read_table(write_corpus(tmp_path / "corpus", zero=True) / "train.txt")
    assert [line.text for line in lines] == list(TEXTS)
    assert all(line.embed == f"embed-{number}.npy" for number, line in enumerate(lines))
    path = tmp_path / "corpus" / "train.txt"
    path.write_text("a|b|c\n")
    with pytest.raises(DataError, match="line 1"):
        read_table(path)


def test_a_batch_is_padded_as_rtvc_does(corpus):
    config = settings(corpus, "x")
    found, report = open_synthesizer_data(corpus, config.data, SymbolTokenizer())
    assert report.kept == len(TEXTS)
    batch = batches(found, config)(np.array([0, 5]), 2)
    assert batch["mels"].shape == (2, 16, 5) and batch["lengths"].tolist() == [12, 15]
    assert np.all(batch["mels"][0, 12:] == -4)
    assert batch["stops"][0].tolist() == [0] * 11 + [1] * 5
    assert batch["ids"][0, -1] == 0 and batch["characters"].tolist() == [5, 6]


def test_durations_say_where_the_attention_should_be(tmp_path):
    folder = write_corpus(tmp_path / "corpus")
    (folder / "durations").mkdir()
    np.save(folder / "durations" / "duration-0.npy", np.array([6, 2, 2, 2, 0]))
    found = SynthesizerCorpus(folder, [(read_table(folder / "train.txt")[0], [28, 29, 30, 31, 1])])
    assert found.path(0, 2).tolist() == pytest.approx([0, 0, 0, 0.2, 0.4, 0.6])


def test_phases_and_rates_change_at_their_steps(corpus):
    config = settings(corpus, "x")
    found, _ = open_synthesizer_data(corpus, config.data, SymbolTokenizer())
    plan = PhasePlan(found, config.training.phases, 0, bucketing=False)
    stream = plan.stream(0)
    heard = [next(stream) for _ in range(9)]
    assert [r for r, _ in heard] == [3] * 6 + [2] * 3
    again = plan.stream(4)
    for r, indices in heard[4:]:
        other = next(again)
        assert other[0] == r and np.array_equal(other[1], indices)
    rates = PhaseRates([1.0, 0.5], [6, 12])
    assert [float(rates(step)) for step in (0, 5, 6, 99)] == [1.0, 1.0, 0.5, 0.5]


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="is no phase"):
        SynthesizerConfig().merged({"training": {"schedule": ["2:1:x:3"]}})
    with pytest.raises(ConfigError, match="above model.max_r"):
        SynthesizerConfig().merged({"training": {"schedule": ["21:1e-3:5:3"]}})
    with pytest.raises(ConfigError, match="grow"):
        SynthesizerConfig().merged({"training": {"schedule": ["2:1e-3:5:3", "2:1e-3:5:3"]}})
    plain = SynthesizerConfig().merged(COMPATIBLE)
    assert not plain.training.masked_losses and not plain.model.masked_attention


def test_dropped_frames_are_their_utterances_mean():
    mels = np.random.default_rng(0).normal(size=(3, 400, 5)).astype("float32")
    lengths = np.array([400, 300, 4], "int32")
    heard = with_gaps(tf.constant(mels), tf.constant(lengths), 0.25, 7).numpy()
    dropped = (heard != mels).any(-1)
    assert 0.2 < dropped.mean() < 0.3
    for row, length in enumerate(lengths):
        mean = mels[row, :length].mean(0)
        np.testing.assert_allclose(
            heard[row][dropped[row]], mean[None].repeat(dropped[row].sum(), 0), atol=1e-6
        )


@pytest.mark.slow
def test_dropped_frames_change_the_training_alone(corpus, tmp_path):
    losses = []
    for number, share in enumerate((0.0, 0.5)):
        run = tmp_path / str(number)
        train(
            settings(corpus, run, synthesizer={"steps": 4}, drop_frames=share), SYNTHESIZER_SYSTEM
        )
        rows = read_history(run)
        losses.append({row["kind"]: row["loss"] for row in reversed(rows)})
    assert losses[0]["validation"] == losses[1]["validation"]
    assert losses[0]["train"] != losses[1]["train"]
