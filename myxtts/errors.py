"""Errors that stand for a user's mistake.

Every class here carries one sentence that names the file, line or argument at
fault. The command lines print that sentence and exit with status 1; library
callers catch :class:`MyXTTSError` or one of its children.
"""


class MyXTTSError(Exception):
    """Base of all errors that a change of input or configuration can cure."""


class ConfigError(MyXTTSError, ValueError):
    """A configuration key, value or flag is wrong."""


class AudioError(MyXTTSError, ValueError):
    """An audio file or array cannot be used."""


class NotFiniteError(AudioError):
    """Audio holds samples that are NaN or infinite."""


class TextError(MyXTTSError, ValueError):
    """A text or its language cannot be used."""


class DataError(MyXTTSError, ValueError):
    """A corpus cannot be used."""


class WeightsError(MyXTTSError, ValueError):
    """Pretrained weights are missing, random or of the wrong shape."""


class CheckpointError(MyXTTSError, ValueError):
    """A checkpoint or preset folder cannot be read or written."""
