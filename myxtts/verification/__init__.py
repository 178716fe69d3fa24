"""Telling speakers apart: trials, thresholds and decisions."""
