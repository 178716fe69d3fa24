"""Training stages, their loop, checkpoints and logs."""
