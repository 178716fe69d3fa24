"""A job for tests of bulk work: it writes who did an item, refuses, breaks, or dies."""

import os
import signal
import time
from pathlib import Path

from myxtts.errors import DataError


def opened(folder: str, fails: str = ""):
    """A job that writes who did an item; ``die`` kills its worker where nobody has tried before."""
    if fails:
        raise DataError(fails)

    def do(item: dict) -> None:
        begun = Path(folder) / f"{item['name']}.begun"
        if item.get("die") == "always" or (item.get("die") and not begun.exists()):
            begun.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if item.get("refuse"):
            raise DataError("it is damaged.")
        if item.get("break"):
            raise ZeroDivisionError("by zero")
        time.sleep(0.05)
        (Path(folder) / item["name"]).write_text(str(os.getpid()))

    return do
