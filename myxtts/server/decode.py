"""Decode a recording nobody vouches for, in a process of its own that is bounded.

``python -m myxtts.server.decode IN OUT SECONDS``: a WAV file of 16 bits, or one sentence on
stdout and exit code 1.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

# Of address space; a codec's libraries take half a gigabyte of it without touching it.
MEMORY = 3 * 2**30
LARGEST_OUTPUT = 2**28


def bound(seconds: int) -> None:
    """Bound memory, processor time and the size of files of this process for good."""
    limits = (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, LARGEST_OUTPUT),
        (resource.RLIMIT_CORE, 0),
    )
    for which, limit in limits:
        resource.setrlimit(which, (limit, limit))


def main(source: str, target: str, longest: str, seconds: str) -> int:
    """Decode ``source``, which lasts ``longest`` seconds at most, in so many seconds."""
    bound(int(float(seconds)) + 1)
    from myxtts.audio.io import read_audio, wav_bytes
    from myxtts.errors import AudioError, TooLongError

    try:
        samples, rate = read_audio(source, longest=float(longest))
    except TooLongError as error:
        sys.stdout.write(
            f"the recording lasts {error.seconds:.0f} s, at most {longest} s are taken."
        )
        return 1
    except (AudioError, MemoryError) as error:
        told = str(error).replace(source, "the recording") or "the recording is too large."
        sys.stdout.write(told)
        return 1
    Path(target).write_bytes(wav_bytes(samples, rate))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
