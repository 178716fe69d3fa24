"""Keras models, one architecture a file."""
