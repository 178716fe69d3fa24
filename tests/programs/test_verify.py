"""``myxtts verify`` as a user meets it."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from myxtts.flags import run
from myxtts.programs import verify as tool
from myxtts.verification.threshold import Threshold
from myxtts.verification.trials import detection_errors, read_trials
from myxtts.verification.verifier import SpeakerVerifier
from tests.conftest import hum

KEYS = {"encoder", "trials", "eer", "min_dcf", "threshold"}


def call(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["verify_speakers.py", *map(str, words)])
    try:
        return run(tool.main, tool.parser())
    except SystemExit as stop:
        return stop.code


@pytest.fixture
def preset(trained, tmp_path):
    """A copy of a preset, to leave a threshold in."""
    shutil.copytree(trained.preset, tmp_path / "preset")
    return tmp_path / "preset"


@pytest.fixture
def hummed(corpus, tmp_path):
    """Trials over the six hummed clips of two speakers."""
    lines = [
        f"{int(i % 2 == j % 2)} clips/clip_{i}.wav clips/clip_{j}.wav"
        for i in range(6)
        for j in range(i)
    ]
    (tmp_path / "clips").symlink_to(corpus)
    (tmp_path / "trials.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "trials.txt"


@pytest.fixture
def weights():
    """Skips without the upstream's weights."""
    pytest.importorskip("resemblyzer", reason="its weights are in the package")


@pytest.fixture
def recorded(shared_data, tmp_path):
    """The first trials of the real set, as a list of absolute paths."""
    folder = shared_data / "sv_test"
    lines = (folder / "trials.txt").read_text().splitlines()[:60]
    words = [line.split() for line in lines]
    text = "".join(f"{label} {folder / a} {folder / b}\n" for label, a, b in words)
    (tmp_path / "subset.txt").write_text(text)
    return tmp_path / "subset.txt"


def scores_of(path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def test_a_preset_is_measured_and_keeps_its_threshold(
    preset, hummed, tmp_path, monkeypatch, capsys
):
    output = tmp_path / "out"
    words = ("--trials", hummed, "--encoder", preset, "--output", output, "--save-threshold")
    assert call(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    for part in ("xtts.safetensors@sha256:", "15 (6 target, 9 non-target)", "EER", "minDCF(0.01)"):
        assert part in said
    assert str(preset / "verification.json") in said
    assert sorted(path.name for path in output.iterdir()) == ["det.png", "scores.txt"]
    threshold = SpeakerVerifier.from_preset(preset).threshold
    assert threshold.trials == 15
    assert threshold.measured_on.endswith("/trials.txt")


def test_scores_are_the_ones_that_were_measured(preset, hummed, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out"
    words = ("--trials", hummed, "--encoder", preset, "--output", output, "--json")
    assert call(monkeypatch, *words) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    result = json.loads(printed)
    assert set(result) == KEYS
    rows = scores_of(output / "scores.txt")
    written = [" ".join(row[:3]) for row in rows]
    assert written == hummed.read_text().splitlines()
    errors = detection_errors([float(row[3]) for row in rows], [row[0] == "1" for row in rows])
    assert result["eer"] == pytest.approx(errors.eer, abs=1e-3)
    assert result["threshold"] == pytest.approx(errors.threshold, abs=1e-6)
    assert not (preset / "verification.json").exists()


def test_every_clip_is_embedded_once(hummed):
    class Counting:
        def embed(self, paths):
            assert len(set(paths)) == len(paths) == 6
            return np.eye(6, dtype="float32")

    scores = tool.score(Counting(), read_trials(hummed), hummed.parent)
    assert scores.tolist() == [0.0] * 15


def test_true_weights_on_real_trials(weights, recorded, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out"
    words = ["--trials", recorded, "--encoder", "resemblyzer", "--output", output]
    assert call(monkeypatch, *words, "--no-trim-silences", "--json", "--save-threshold") == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == KEYS
    assert (result["encoder"], result["trials"]) == ("resemblyzer", 60)
    assert result["eer"] < 5
    assert 0.6 < result["threshold"] < 0.9
    names = sorted(path.name for path in output.iterdir())
    assert names == ["det.png", "scores.txt", "verification.json"]
    threshold = Threshold.load(output / "verification.json")
    assert threshold.value == result["threshold"]
    assert not threshold.trimmed


@pytest.fixture
def cohort(tmp_path):
    """A folder of three strangers."""
    for pitch in (100, 170, 260):
        rng = np.random.default_rng(pitch)
        (tmp_path / "cohort" / f"p{pitch}").mkdir(parents=True)
        for clip in range(2):
            path = tmp_path / "cohort" / f"p{pitch}" / f"{clip}.wav"
            soundfile.write(path, hum(1.0, pitch, rng, 16_000), 16_000)
    return tmp_path / "cohort"


def test_a_cohort_normalises_the_scores(preset, hummed, cohort, tmp_path, monkeypatch, capsys):
    words = ("--trials", hummed, "--encoder", preset, "--json", "--output")
    assert call(monkeypatch, *words, tmp_path / "plain") == 0
    normed = ("--score-norm", "as-norm", "--cohort", cohort, "--cohort-nearest", 2)
    assert call(monkeypatch, *words, tmp_path / "normed", *normed) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[1])
    assert set(result) == KEYS | {"score_norm", "cohort"}
    assert (result["score_norm"], result["cohort"]) == ("as-norm", 3)
    verifier = SpeakerVerifier.from_preset(preset)
    people = sorted(cohort.iterdir())
    strangers = np.stack([verifier.enroll(sorted(person.iterdir())) for person in people])
    rows = zip(*(scores_of(tmp_path / name / "scores.txt") for name in ("plain", "normed")))  # noqa: B905
    for (_, enrol, test, cosine), (*_, score) in list(rows)[:4]:
        halves = []
        for name in (enrol, test):
            near = np.sort(strangers @ verifier.embed(hummed.parent / name)[0])[-2:]
            halves.append((float(cosine) - near.mean()) / near.std())
        assert float(score) == pytest.approx(np.mean(halves), rel=0.02)


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (("--cohort", "cohort"), "--cohort is for --score-norm", 2),
        (("--score-norm", "s-norm"), "--score-norm s-norm needs --cohort", 2),
        (("--score-norm", "s-norm", "--cohort", "cohort", "--cohort-nearest", "5"), "as-norm", 2),
        (("--score-norm", "s-norm", "--cohort", "cohort", "--save-threshold"), "of cosines", 2),
        (("--score-norm", "s-norm", "--cohort", "void"), "void holds no recordings", 1),
        (("--score-norm", "s-norm", "--cohort", "."), "are clips of the trials", 1),
    ],
)
def test_a_wrong_cohort_is_one_sentence(
    preset, hummed, cohort, tmp_path, monkeypatch, capsys, words, message, status
):
    (tmp_path / "void").mkdir()
    monkeypatch.chdir(tmp_path)
    own = ("--trials", "trials.txt", "--encoder", str(preset), "--output", "out")
    assert call(monkeypatch, *own, *words) == status
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("changes", "message", "status"),
    [
        ({"--trials": "absent.txt"}, "cannot read the trials absent.txt", 1),
        ({"--trials": "malformed.txt"}, "line 2", 1),
        ({"--trials": "lost.txt"}, "line 2: there is no clip", 1),
        ({"--trials": "unreadable.txt"}, "text.wav is not audio", 1),
        ({"--encoder": "nonsense"}, "--encoder nonsense: neither", 2),
        ({"--encoder": "void"}, "no trained model in void", 1),
        ({"--encoder": "resemblyzer", "--encoder-weights": "absent.pt"}, "absent.pt", 1),
        ({"--encoder-weights": "absent.pt"}, "--encoder-weights is for named encoders", 2),
        ({"--output": "/proc/out"}, "cannot write /proc/out/scores.txt", 1),
        ({"--output": "trials.txt"}, "cannot write trials.txt/scores.txt", 1),
    ],
)
def test_bad_input_is_one_sentence(
    preset, hummed, tmp_path, monkeypatch, capsys, changes, message, status
):
    first = hummed.read_text().splitlines()[0]
    (tmp_path / "void").mkdir()
    (tmp_path / "text.wav").write_text("This is no audio at all.")
    (tmp_path / "malformed.txt").write_text(f"{first}\nyes a.wav b.wav\n")
    (tmp_path / "lost.txt").write_text(f"{first}\n1 lost.wav lost.wav\n")
    (tmp_path / "unreadable.txt").write_text(f"{first}\n1 text.wav text.wav\n")
    monkeypatch.chdir(tmp_path)
    options = {"--trials": "trials.txt", "--encoder": str(preset), "--output": "out"} | changes
    assert call(monkeypatch, *[word for pair in options.items() for word in pair]) == status
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list((tmp_path / "out").glob("*"))


def test_files_appear_whole_or_not_at_all(preset, hummed, tmp_path, monkeypatch):
    output = tmp_path / "out"
    output.mkdir()
    (output / "scores.txt").write_text("of the last time")
    monkeypatch.setattr("myxtts.verification.trials.draw_errors", lambda *args: 1 / 0)
    assert call(monkeypatch, "--trials", hummed, "--encoder", preset, "--output", output) == 1
    assert (output / "scores.txt").read_text() == "of the last time"
    assert list(output.iterdir()) == [output / "scores.txt"]


@pytest.mark.slow
def test_errors_of_the_upstream_on_all_trials(weights, shared_data, tmp_path, monkeypatch, capsys):
    pytest.importorskip("webrtcvad", reason="the upstream trims silences with it")
    trials = shared_data / "sv_test" / "trials.txt"
    words = ("--trials", trials, "--encoder", "resemblyzer", "--output", tmp_path, "--json")
    assert call(monkeypatch, *words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["trials"] == 3315
    assert result["eer"] == pytest.approx(1.302, abs=0.05)
    assert result["min_dcf"] == pytest.approx(0.1143, abs=0.005)
