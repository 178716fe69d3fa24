"""Kokoro as torch module and as ONNX session, behind one interface."""
