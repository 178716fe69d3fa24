"""Other people's checkpoints become Keras weights, one source a file."""
