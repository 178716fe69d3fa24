"""Command lines of speaker-encoder training."""
