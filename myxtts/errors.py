"""Errors that stand for a user's mistake.

Every class here carries one sentence that names the file, line or argument at
fault. The command lines print that sentence and exit with status 1; library
callers catch :class:`MyXTTSError` or one of its children.
"""


class MyXTTSError(Exception):
    """Base of all errors that a change of input or configuration can cure."""

    def __str__(self) -> str:
        # A library's message inside the sentence may have lines, and so may a damaged file.
        return " ".join(super().__str__().splitlines())


class ConfigError(MyXTTSError, ValueError):
    """A configuration key, value or flag is wrong."""


class AudioError(MyXTTSError, ValueError):
    """An audio file or array cannot be used."""


class NotFiniteError(AudioError):
    """Audio holds samples that are NaN or infinite."""


class TooLongError(AudioError):
    """A recording lasts longer than is read of one.

    Args:
        path: of the recording.
        seconds: it lasts, by its header.
        longest: seconds that are read at most.
    """

    def __init__(self, path: object, seconds: float, longest: float):
        self.seconds = seconds
        super().__init__(
            f"{path} lasts {seconds:.1f} s by its header; at most {longest:.1f} s are read."
        )


class UnreadableError(AudioError):
    """A recording could not be read now: the machine failed, not the file."""


class TextError(MyXTTSError, ValueError):
    """A text or its language cannot be used."""


class DataError(MyXTTSError, ValueError):
    """A corpus cannot be used."""


class WeightsError(MyXTTSError, ValueError):
    """Pretrained weights are missing, random or of the wrong shape."""


class CheckpointError(MyXTTSError, ValueError):
    """A checkpoint or preset folder cannot be read or written."""


class ClusterError(MyXTTSError, RuntimeError):
    """The workers of a training differ, do not find each other, or one of them has ended."""
