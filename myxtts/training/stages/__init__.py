"""The training stages of each system, one a file."""
