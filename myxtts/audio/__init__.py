"""Waveform input and output, resampling, mel front-ends and Griffin-Lim."""
