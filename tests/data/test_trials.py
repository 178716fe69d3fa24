"""The trial list of a training is drawn once, and read as any other."""

import numpy as np
import pytest
import soundfile

from myxtts.data.speakers import find_recordings
from myxtts.data.trials import Trials, open_trials, write_trials
from myxtts.errors import DataError


def clips(folder, *counts):
    for speaker, count in enumerate(counts):
        for clip in range(count):
            path = folder / f"speaker {speaker}" / f"{clip}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * np.ones(100 * (clip + 1)), 16_000)
    return find_recordings(folder)


def test_trials_are_of_both_kinds_and_true(tmp_path):
    recordings = clips(tmp_path / "val", 3, 2, 1)
    write_trials(tmp_path / "trials.txt", "val", recordings, 100, seed=0)
    trials = open_trials(tmp_path / "trials.txt")
    speakers = [item.path.parent.name for item in trials.corpus.recordings]
    pairs = list(zip(trials.enrol, trials.test, trials.targets, strict=True))
    assert len(trials.corpus) == 6 and len(pairs) == 15
    assert sum(trials.targets) == 4
    for one, other, target in pairs:
        assert one != other and target == (speakers[one] == speakers[other])


@pytest.mark.parametrize("most", [2, 30])
def test_lists_are_bounded_drawn_and_seeded(tmp_path, most):
    recordings = clips(tmp_path / "val", *[4] * 12)
    texts = []
    for seed in (0, 0, 1):
        write_trials(tmp_path / "trials.txt", "val", recordings, most, seed)
        texts.append((tmp_path / "trials.txt").read_text())
    assert texts[0] == texts[1] != texts[2]
    lines = texts[0].splitlines()
    assert len(lines) == len(set(lines)) == 2 * most
    assert sum(line.startswith("1") for line in lines) == most


def test_scores_are_cosines(tmp_path):
    write_trials(tmp_path / "trials.txt", "val", clips(tmp_path / "val", 2, 1), 9, seed=0)
    trials = open_trials(tmp_path / "trials.txt")
    embeddings = np.array([[2.0, 0], [5.0, 5.0], [0, 1.0]])
    expected = {(0, 1): 0.5**0.5, (0, 2): 0.0, (1, 2): 0.5**0.5}
    for one, other, score in zip(trials.enrol, trials.test, trials.scores(embeddings), strict=True):
        assert score == pytest.approx(expected[min(one, other), max(one, other)])


@pytest.mark.parametrize(
    ("counts", "message"),
    [((5,), "val has one speaker"), ((1, 1, 1), "every speaker has one recording")],
)
def test_too_little_for_trials_is_said(tmp_path, counts, message):
    with pytest.raises(DataError, match=message):
        write_trials(tmp_path / "t.txt", "val", clips(tmp_path / "val", *counts), 9, seed=0)
    assert not (tmp_path / "t.txt").exists()


def test_target_trials_say_who_speaks():
    corpus = [None] * 6
    pairs = [(0, 1, True), (1, 3, True), (2, 4, True), (3, 4, False), (5, 0, False)]
    enrol, test, targets = map(np.array, zip(*pairs, strict=True))
    groups = Trials(corpus, enrol, test, targets).groups()
    assert groups[0] == groups[1] == groups[3]
    assert groups[2] == groups[4]
    assert len(set(groups.tolist())) == 3
