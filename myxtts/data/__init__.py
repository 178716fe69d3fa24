"""Corpora, from folders of recordings to batches of features."""
