"""Side-by-side measurements; run from the top of the repository."""
