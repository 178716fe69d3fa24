"""What proves that a served graph does what the model does."""
