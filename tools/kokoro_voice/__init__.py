"""Kokoro voices fitted to a recording: backends, phonemes, weights and the optimiser."""
