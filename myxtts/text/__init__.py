"""Cleaning, tokenising and splitting text."""
