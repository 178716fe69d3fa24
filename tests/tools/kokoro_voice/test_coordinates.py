"""Coordinates of voices: there and back, both length models, the cap and the mask."""

import logging
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the voice optimiser is torch's")

from myxtts.errors import DataError  # noqa: E402
from tests.tools.kokoro.fakes import fake_voices  # noqa: E402
from tools.kokoro_voice.config import OptimizerConfig  # noqa: E402
from tools.kokoro_voice.coordinates import build_space, halves_are_separate  # noqa: E402

VOICES = np.stack(list(fake_voices().values()))
BASIS = OptimizerConfig(length_model="basis")
REPLICATE = replace(BASIS, length_model="replicate", target_frame_idx=100)


def points(space, count=3):
    return np.random.default_rng(0).normal(size=(count, space.components)).astype("float32")


def test_basis_gives_every_voice_back_at_every_length():
    space = build_space(VOICES, BASIS)
    for voice in VOICES:
        np.testing.assert_allclose(space.pack(space.coordinates(voice)), voice, atol=1e-5)


def test_replicate_copies_its_row_to_all_lengths():
    space = build_space(VOICES, REPLICATE)
    pack = space.pack(points(space)[0])
    assert pack.shape == (510, 1, 256)
    np.testing.assert_array_equal(pack, np.broadcast_to(pack[:1], pack.shape))
    row = np.broadcast_to(VOICES[2, 100], VOICES[2].shape)
    np.testing.assert_allclose(space.pack(space.coordinates(row)), row, atol=1e-5)


@pytest.mark.parametrize("config", [BASIS, REPLICATE], ids=lambda c: c.length_model)
def test_zero_is_the_median_of_the_voices(config):
    space = build_space(VOICES, config)
    pack = space.pack(np.zeros(space.components))
    median = np.median(VOICES, axis=0)
    np.testing.assert_allclose(pack[100], median[100], atol=1e-6)


@pytest.mark.parametrize("config", [BASIS, REPLICATE], ids=lambda c: c.length_model)
def test_a_coordinate_of_one_is_a_standard_deviation(config):
    space = build_space(VOICES, config)
    rows = VOICES if config is BASIS else np.broadcast_to(VOICES[:, 100:101], VOICES.shape)
    spread = np.std([space.coordinates(voice) for voice in rows], axis=0, mean=0.0)
    np.testing.assert_allclose(spread, 1, rtol=1e-4)


@pytest.mark.parametrize("config", [BASIS, REPLICATE], ids=lambda c: c.length_model)
@pytest.mark.parametrize("row", [0, 50, 509])
def test_numpy_torch_and_packs_agree(config, row):
    space = build_space(VOICES, config)
    batch = points(space)
    styles = space.styles(batch, row)
    for point, style in zip(batch, styles, strict=True):
        np.testing.assert_allclose(space.pack(point)[row, 0], style, atol=1e-5)
        np.testing.assert_allclose(space.style(torch.from_numpy(point), row)[0], style, atol=1e-5)


def test_the_gradient_reaches_every_coordinate():
    space = build_space(VOICES, BASIS)
    point = torch.zeros(space.components, requires_grad=True)
    space.style(point, 20).square().sum().backward()
    assert (point.grad != 0).all()


def test_more_components_than_the_voices_allow_are_said_aloud(caplog):
    with caplog.at_level(logging.INFO):
        space = build_space(VOICES, BASIS)
    assert space.components == 2 * len(VOICES)
    assert "8 voices allow 16 coordinates; 256 components were wanted of each half" in caplog.text
    assert build_space(VOICES, replace(BASIS, pca_components=3)).components == 6
    joint = replace(BASIS, halves="joint")
    assert build_space(VOICES, joint).components == len(VOICES)
    assert build_space(VOICES, replace(joint, pca_components=3)).components == 3


def test_no_more_is_said_than_there_is_to_say(caplog):
    with caplog.at_level(logging.INFO):
        build_space(VOICES, replace(BASIS, pca_components=8))
    assert caplog.text == ""


def test_separate_halves_move_one_half_each_and_joint_ones_both():
    space = build_space(VOICES, BASIS)
    half = len(VOICES)
    assert not space.directions[:half, :, 128:].any()
    assert not space.directions[half:, :, :128].any()
    joint = build_space(VOICES, replace(BASIS, halves="joint"))
    assert joint.directions[0, :, 128:].any()
    assert joint.directions[0, :, :128].any()


@pytest.mark.parametrize(
    ("method", "halves", "separate"),
    [
        ("autograd", "auto", True),
        ("finite-diff", "auto", False),
        ("finite-diff", "separate", True),
        ("autograd", "joint", False),
    ],
)
def test_methods_that_pay_for_every_coordinate_search_both_halves_at_once(method, halves, separate):
    config = OptimizerConfig(gradient_method=method, halves=halves)
    assert halves_are_separate(config) is separate


@pytest.mark.parametrize("config", [BASIS, REPLICATE], ids=lambda c: c.length_model)
def test_only_the_most_variable_dimensions_move(config):
    space = build_space(VOICES, replace(config, n_variable_dims=10))
    moved = space.pack(points(space)[0]) - space.pack(np.zeros(space.components))
    dims = np.flatnonzero(np.abs(moved[100, 0]) > 1e-7)
    variance = VOICES[:, config.target_frame_idx, 0].var(axis=0)
    assert set(dims) == set(np.argsort(-variance)[:10])


def test_equal_voices_span_no_space():
    with pytest.raises(DataError, match="3 voices are all the same"):
        build_space(np.stack([VOICES[0]] * 3), BASIS)
