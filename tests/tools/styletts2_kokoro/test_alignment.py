"""Time warping: what is given back, and what of a transcript that does not fit."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="mels are torch's")

from tests.tools.kokoro.fakes import fake_voices  # noqa: E402
from tests.tools.styletts2_kokoro.fake_training import Singer  # noqa: E402
from tools.styletts2_kokoro.alignment import align, warped, warping_path  # noqa: E402
from tools.styletts2_kokoro.losses import mel_distance  # noqa: E402
from tools.styletts2_kokoro.style_mel import style_mel  # noqa: E402

STYLE = torch.from_numpy(fake_voices(1)["v0_a"][9])
TOKENS = [3, 9, 1, 14, 7, 20]


def test_the_path_is_the_best_of_all():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(5, 6)), rng.normal(size=(5, 4))
    path = warping_path(one, other)
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [5, 3]
    steps = np.diff(path, axis=0)
    assert {tuple(step) for step in steps} <= {(0, 1), (1, 0), (1, 1)}
    assert cost_of(path, one, other) == pytest.approx(least(one, other))


def costs(one, other):
    def unit(mel):
        mel = (mel - mel.mean(1, keepdims=True)) / mel.std(1, keepdims=True)
        return mel / np.linalg.norm(mel, axis=0)

    return 1 - unit(one).T @ unit(other)


def cost_of(path, one, other):
    cost, total = costs(one, other), costs(one, other)[0, 0] * 2
    for before, after in zip(path[:-1], path[1:], strict=True):
        total += cost[tuple(after)] * (2 if (after - before).all() else 1)
    return pytest.approx(total, rel=1e-4)


def least(one, other):
    """By the definition, cell by cell."""
    cost = costs(one, other)

    def best(i, j):
        if i == j == 0:
            return 2 * cost[0, 0]
        found = [best(i - 1, j) + cost[i, j]] if i else []
        found += [best(i, j - 1) + cost[i, j]] if j else []
        found += [best(i - 1, j - 1) + 2 * cost[i, j]] if i and j else []
        return min(found)

    return best(cost.shape[0] - 1, cost.shape[1] - 1)


def test_equal_speech_keeps_its_durations():
    durations = np.array([4, 3, 5, 4])
    path = np.repeat(np.arange(33)[:, None], 2, axis=1)
    np.testing.assert_array_equal(warped(durations, path), durations)


def test_every_phoneme_keeps_a_frame():
    path = np.array([(number, 0) for number in range(9)])
    assert (warped(np.array([1, 1, 1, 1]), path) >= 1).all()


def test_the_clips_own_durations_are_found():
    backend, true = Singer(), torch.tensor([4, 8, 3, 9, 4, 2, 7, 5])
    clip = style_mel(backend.waveform(TOKENS, STYLE, true))
    found = align(backend, TOKENS, STYLE, clip)
    assert found.frames == 0
    assert (found.durations - true).abs().max() <= 1
    speech = backend.waveform(TOKENS, STYLE, found.durations)
    plain = align(backend, TOKENS, STYLE, clip, has_text=False)
    stretched = backend.waveform(TOKENS, STYLE, plain.durations)
    aligned = mel_distance(speech, found.target(clip))
    assert aligned < 0.5 * mel_distance(stretched, plain.target(clip))


def test_without_a_transcript_that_fits_the_clip_is_stretched():
    backend = Singer()
    clip = style_mel(backend.waveform(TOKENS, STYLE, torch.full((8,), 20)))
    for has_text in (True, False):
        found = align(backend, TOKENS, STYLE, clip, has_text)
        assert found.durations.tolist() == [4] * 8
        assert found.target(clip).shape == (80, found.frames)
