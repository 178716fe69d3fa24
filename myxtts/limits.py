"""Limits of the operating system that a library would meet by ending the process."""

from __future__ import annotations

from myxtts.errors import ConfigError

# Address space, not memory, that TensorFlow has mapped once the smallest of trainings runs.
LEAST_ADDRESS_SPACE = 4 * 2**30


def require_address_space() -> None:
    """Look at the limit of the address space before TensorFlow is imported.

    Below it TensorFlow aborts the process in the middle of its work, without a sentence.

    Raises:
        ConfigError: the limit is too low.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise ConfigError(
            f"the address space of this process is limited to {limit / 2**30:.1f} GiB "
            f"(RLIMIT_AS, `ulimit -v`), and TensorFlow, which maps more than it uses, aborts below "
            f"{LEAST_ADDRESS_SPACE // 2**30} GiB: raise it with `ulimit -v unlimited`."
        )
