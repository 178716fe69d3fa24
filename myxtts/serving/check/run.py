"""Whether an exported model does in TensorFlow's C library what it does in Python.

The C library, in a process of its own, stands for TensorFlow Serving, which loads models with
the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from myxtts.digests import check_sums, tell_unhashed
from myxtts.models.xtts import XTTS
from myxtts.serving.check import rules as rules
from myxtts.serving.check.compare import Failed, Run, model_signatures, tolerance_of
from myxtts.serving.check.process import SeparateSession
from myxtts.serving.check.session import SessionError

GRAPHS = "saved_model.pb"


@dataclass(frozen=True)
class Check:
    """What came of one check.

    Attributes:
        name: of the check.
        passed: whether the export does what it must, or has nothing of the kind.
        detail: how well, or what is wrong.
    """

    name: str
    passed: bool
    detail: str


def check_export(
    folder: str | Path,
    model: XTTS | None,
    progress: Callable[[str], None] | None = None,
    requests: int = 40,
    sentences: int = 40,
) -> list[Check]:
    """Check a version that :func:`myxtts.serving.export.export_saved_model` wrote.

    Args:
        folder: of the version.
        model: of which it was exported; without it nothing is compared with Python.
        progress: called with the name of each check before it begins.
        requests: of random lengths, while the memory is watched; at least 8.
        sentences: in each language, whose text ids are compared.

    Returns:
        One for each check; each is made, whatever came of the others.

    Raises:
        CheckpointError: the folder is no export, or a file of it is not as it was written.
        LibraryError: the installed TensorFlow has no C library.
    """
    _check_hashes(Path(folder))
    about = rules.read_about(folder)
    operations = _judged("core operations", lambda: rules.core_operations(folder), progress)
    try:
        session = SeparateSession(Path(folder))
    except SessionError as error:
        return [operations, Check("loaded by the C library", False, str(error))]
    with session, model_signatures(model, about) as functions:
        export = rules.ServedExport(session, about)
        checks = _checks(export, functions, model, requests, sentences)
        return [operations, *(_judged(*check, progress) for check in checks)]


def _check_hashes(folder: Path) -> None:
    # What a server writes beside, or a warm-up was made of, has none.
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    if GRAPHS in check_sums(folder, [path.as_posix() for path in files]):
        tell_unhashed(folder / GRAPHS)


def _checks(
    export: rules.ServedExport, functions: dict[str, Run], model: XTTS | None, *counts: int
) -> Iterator[tuple[str, Callable[[], str]]]:
    """Names of checks, and the checks: they say how it went, or raise ``Failed``."""
    requests, sentences = counts
    apart = tolerance_of(model)
    for name in export.signatures:
        yield (
            f"signature {name}",
            lambda name=name: rules.runs(export, name, functions.get(name), apart),
        )
    yield "a batch equals single requests", lambda: rules.batch(export, apart)
    yield f"{rules.THREADS} threads on one session", lambda: rules.threads(export)
    yield "memory", lambda: rules.memory(export, requests)
    yield "text ids", lambda: rules.text_ids(export, model, sentences)
    for name in export.signatures:
        yield f"bad requests to {name}", lambda name=name: rules.bad(export, name)


def _judged(
    name: str, check: Callable[[], str], progress: Callable[[str], None] | None = None
) -> Check:
    if progress:
        progress(name)
    try:
        return Check(name, True, check())
    except (Failed, SessionError) as error:
        return Check(name, False, str(error))
