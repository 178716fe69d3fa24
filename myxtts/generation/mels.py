"""How long a text's mel may get, and where its end is silence: SV2TTS's rules."""

# Frames at the end below this are silence: RTVC's tts_stop_threshold.
QUIET = -3.4
# What a text may take: of frames a character speech takes five or six.
LEAST_FRAMES, FRAMES_A_CHARACTER, MOST_FRAMES = 200, 20, 2000
