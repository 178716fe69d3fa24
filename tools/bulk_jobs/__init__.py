"""Bulk work over processes or machines: the pools, and what they do."""
