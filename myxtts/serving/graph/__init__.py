"""What is inside a served graph."""
