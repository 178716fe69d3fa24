"""Kokoro in torch and in ONNX Runtime: weights, phonemes, voices."""
