"""Trial files, error rates on scores whose errors are known, and the picture."""

import numpy as np
import pytest

from myxtts.errors import DataError
from myxtts.verification.trials import Trial, detection_errors, draw_errors, read_trials

# Scores of non-targets, scores of targets, EER in percent, minDCF(0.01), threshold.
KNOWN = {
    "apart": ([0, 1, 2, 3], [7, 8, 9], 0.0, 0.0, 7),
    "reversed": ([7, 8, 9], [0, 1, 2], 100.0, 1.0, 7),
    "all equal": ([5, 5, 5, 5], [5, 5], 50.0, 1.0, 5),
    # At 5 one of four non-targets passes and one of four targets fails.
    "one of four": ([0, 1, 2, 5], [3, 6, 7, 8], 25.0, 0.25, 5),
    # Half the targets lie below every non-target: rejecting them costs 0.5.
    "only misses": ([4, 4, 4, 4], [1, 2, 8, 9], 25.0, 0.5, 8),
    # A single false accept costs as much as rejecting 99 % of the targets.
    "one false accept in 100": ([0] * 99 + [9], [5] * 4, 0.5, 0.99, 5),
    "a tie across kinds": ([0, 0, 4, 4], [4, 4, 9, 9], 25.0, 0.5, 9),
}


def spread(name: str) -> tuple[np.ndarray, np.ndarray]:
    others, targets, *_ = KNOWN[name]
    return np.array([*others, *targets], float), np.array([0] * len(others) + [1] * len(targets))


@pytest.fixture
def trial_file(tmp_path):
    """Writes a list beside three clips."""
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).touch()

    def write(text: str, encoding: str = "utf-8"):
        path = tmp_path / "trials.txt"
        path.write_text(text, encoding=encoding)
        return path

    return write


@pytest.mark.parametrize("name", KNOWN)
def test_errors_of_known_scores(name):
    errors = detection_errors(*spread(name))
    _, _, eer, min_dcf, threshold = KNOWN[name]
    assert errors.eer == pytest.approx(eer)
    assert errors.min_dcf == pytest.approx(min_dcf)
    assert errors.threshold == threshold


@pytest.mark.parametrize("name", KNOWN)
def test_threshold_gives_the_equal_error_rate(name):
    scores, targets = spread(name)
    errors = detection_errors(scores, targets)
    accepted = scores >= errors.threshold
    rates = (np.mean(accepted[targets == 0]), np.mean(~accepted[targets == 1]))
    assert 50 * sum(rates) == pytest.approx(errors.eer)


def test_order_and_affine_transforms_change_nothing():
    rng = np.random.default_rng(0)
    targets = rng.random(400) < 0.2
    scores = rng.normal(size=400) + 2 * targets
    errors = detection_errors(scores, targets)
    order = rng.permutation(400)
    assert detection_errors(scores[order], targets[order]) == errors
    moved = detection_errors(3 * scores - 5, targets)
    assert (moved.eer, moved.min_dcf) == (errors.eer, errors.min_dcf)
    assert moved.threshold == pytest.approx(3 * errors.threshold - 5)


def test_normal_scores_have_the_eer_of_theory():
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.normal(size=40_000), rng.normal(3, size=40_000)])
    errors = detection_errors(scores, np.arange(80_000) >= 40_000)
    assert errors.eer == pytest.approx(6.68, abs=0.2)
    assert errors.threshold == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([0.1, 0.2], [1, 1], "target and non-target"),
        ([0.1, 0.2], [0, 0], "target and non-target"),
        ([0.1, np.nan], [0, 1], "score 1 is not finite"),
        ([0.1, np.inf], [0, 1], "score 1 is not finite"),
        ([0.1], [0, 1], "2 labels"),
    ],
)
def test_scores_without_errors_are_refused(scores, targets, message):
    with pytest.raises(DataError, match=message):
        detection_errors(scores, targets)


def test_trials_are_read_as_written(trial_file):
    path = trial_file("# head\n\n1 a.wav b.wav\r\n  nontarget  a.wav\tc.wav\ntarget b.wav b.wav")
    assert read_trials(path) == [
        Trial(True, "a.wav", "b.wav"),
        Trial(False, "a.wav", "c.wav"),
        Trial(True, "b.wav", "b.wav"),
    ]


def test_a_byte_order_mark_is_no_label(trial_file):
    path = trial_file("1 a.wav b.wav\n0 a.wav c.wav\n", encoding="utf-8-sig")
    assert len(read_trials(path)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 a.wav b.wav\n\n# x\n2 a.wav b.wav\n", "line 4: '2 a.wav b.wav' is not"),
        ("1 a.wav\n0 a.wav b.wav\n", "line 1: '1 a.wav' is not"),
        ("1 a.wav b.wav c.wav\n", "line 1: "),
        ("1 a.wav b.wav\n0 a.wav lost.wav\n", "line 2: there is no clip .*lost.wav"),
        ("0 a.wav b.wav\n", "no target trials"),
        ("1 a.wav b.wav\n", "no non-target trials"),
        ("", "no target trials"),
    ],
)
def test_bad_trials_name_file_and_line(trial_file, text, message):
    with pytest.raises(DataError, match=f"trials.txt.*{message}"):
        read_trials(trial_file(text))


def test_trials_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match="absent.txt"):
        read_trials(tmp_path / "absent.txt")
    (tmp_path / "latin.txt").write_bytes(b"1 \xe9.wav \xe9.wav\n")
    with pytest.raises(DataError, match="latin.txt"):
        read_trials(tmp_path / "latin.txt")


@pytest.mark.parametrize("name", KNOWN)
def test_a_picture_of_any_scores_can_be_drawn(name, tmp_path):
    scores, targets = spread(name)
    path = tmp_path / "det.png"
    draw_errors(path, scores, targets, detection_errors(scores, targets), name)
    assert path.read_bytes().startswith(b"\x89PNG")
