"""A model on disk: folder, record and variables, for any model."""
