"""Keys of those who may call."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from pathlib import Path

from myxtts.errors import ConfigError
from myxtts.server.settings import ServerSettings

# Who calls where there are no keys.
ANYBODY = "anybody"
SHORTEST = 16


class Keys:
    """The keys of a file; only their digests are kept.

    Args:
        digests: SHA-256 of each.
    """

    def __init__(self, digests: tuple[bytes, ...] = ()):
        self._digests = digests

    def __bool__(self) -> bool:
        return bool(self._digests)

    def owner(self, key: str | None) -> str | None:
        """Who has the key, as a name that tells nothing of it; None for a wrong one.

        All keys are compared, each in constant time.
        """
        if not self._digests:
            return ANYBODY
        given, found = hashlib.sha256((key or "").encode("utf-8", "replace")).digest(), None
        for digest in self._digests:
            if hmac.compare_digest(given, digest):
                found = hashlib.sha256(b"owner" + digest).hexdigest()[:16]
        return found


def read_keys(path: str | Path | None) -> Keys:
    """The keys of a file, one a line; lines that begin with ``#`` are none.

    Raises:
        ConfigError: the file cannot be read, has no key, or a short one.
    """
    if path is None:
        return Keys()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the keys of {path}: {type(error).__name__}.") from error
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"{path} has no key; write one a line.")
    if any(len(key) < SHORTEST for key in keys):
        raise ConfigError(f"{path} has a key of fewer than {SHORTEST} characters.")
    return Keys(tuple(hashlib.sha256(key.encode("utf-8")).digest() for key in keys))


def check_address(settings: ServerSettings) -> None:
    """Raise ``ConfigError`` for an address that others reach while nobody needs a key."""
    if not settings.auth or settings.api_key_file or is_loopback(settings.host):
        return
    raise ConfigError(
        f"others could reach {settings.host} without a key: give --api-key-file, or --no-auth if "
        "everybody may call."
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
