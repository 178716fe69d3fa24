"""How numba compiles this package's loops. Importing this file needs numba."""

from __future__ import annotations

from collections.abc import Callable

import numba

# Sums may be taken in any order, which vector code needs; NaN and infinity keep their meaning.
# Divisions that ask for zeros would not become vector code either.
OPTIONS = {
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    "nogil": True,
    "error_model": "numpy",
}


def compiled(**options) -> Callable[[Callable], Callable]:
    """As ``numba.njit``, kept on disk where there is a place to keep it.

    Args:
        options: of ``numba.njit``, before those that all loops have.
    """

    def decorate(function: Callable) -> Callable:
        given = OPTIONS | options
        try:
            return numba.njit(cache=True, **given)(function)
        except RuntimeError:  # no folder that could be written to
            return numba.njit(**given)(function)

    return decorate
