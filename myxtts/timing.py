"""Rates and lengths that all parts of an XTTS share."""

from fractions import Fraction

# Of references and of the mels that become audio codes, in Hz; of their frames, in samples.
MODEL_RATE = 22_050
HOP_LENGTH = 256
FRAMES_PER_CODE = 4
SECONDS_PER_CODE = FRAMES_PER_CODE * HOP_LENGTH / MODEL_RATE
FRAME_SECONDS = HOP_LENGTH / MODEL_RATE
# Of the speech that comes out, in Hz; its frames have as many samples as the mels'.
OUTPUT_RATE = 24_000
RATE_RATIO = Fraction(OUTPUT_RATE, MODEL_RATE)
# Of the audio that every speaker encoder hears, in Hz.
SPEAKER_RATE = 16_000
# Between the pieces of a text.
PAUSE_SECONDS = 0.12
PAUSE_SAMPLES = int(PAUSE_SECONDS * OUTPUT_RATE)
