"""Command lines of SV2TTS, over ``myxtts``."""
