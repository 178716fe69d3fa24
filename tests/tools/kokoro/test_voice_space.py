"""The voice space by itself; what the fit asks of it is tested with the fit."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from tools.kokoro.voice_space import SpaceShape, build_space

ROOT = Path(__file__).resolve().parents[3]


def test_each_half_has_coordinates_of_its_own_and_voices_come_back():
    voices = np.random.default_rng(0).normal(size=(4, 510, 1, 256)).astype("float32")
    space = build_space(voices, SpaceShape())
    assert space.components == 8
    assert not space.directions[:4, :, 128:].any()
    assert not space.directions[4:, :, :128].any()
    np.testing.assert_allclose(space.pack(space.coordinates(voices[1])), voices[1], atol=1e-4)


def test_the_space_needs_no_torch_until_a_gradient_is_wanted():
    code = "import sys, tools.kokoro.voice_space; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
