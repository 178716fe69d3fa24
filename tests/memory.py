"""Tests that measure the peak of a process's memory."""

from pathlib import Path

import pytest

measures_memory = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="this system counts no peak of memory anew"
)
