"""What calls a served model: ``SpeechClient``, and ``python -m myxtts.serving.client``."""

from myxtts.serving.client.speech_client import ServedVoice, Speech, SpeechClient

__all__ = ["ServedVoice", "Speech", "SpeechClient"]
