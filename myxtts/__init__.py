"""MyXTTS: XTTS in Keras 3. Text and a few seconds of a voice in, speech out."""

__version__ = "0.1.0"
