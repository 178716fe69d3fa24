"""Coqui's XTTS, small or of full size, and how this package's results are held against it."""
