"""What an exported model must do: each rule says how well it does, or raises ``Failed``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from myxtts.errors import CheckpointError, TextError
from myxtts.models.xtts import XTTS
from myxtts.serving.check.compare import (
    TOLERANCE,
    Failed,
    Run,
    difference,
    own_part,
    require_bounded,
)
from myxtts.serving.check.process import ABORTED, SeparateSession
from myxtts.serving.check.requests import (
    Inputs,
    as_kind,
    bad_requests,
    every_language,
    filler,
    random_sentences,
    rows_of,
    some_texts,
)
from myxtts.serving.check.session import SessionError, read_extra
from myxtts.serving.export import foreign_operations
from myxtts.serving.graph.text.numbers import ADVICE
from myxtts.timing import OUTPUT_RATE

MAIN = "serving_default"
NO_SIGNATURE, NOT_COMPARED = "no such signature", "not compared with the model"
THREADS = 8
# Characters of the five texts of a batch, and the most of those that memory is watched with.
LENGTHS = (4, 30, 11, 47, 19)
LONGEST = 60
# Of the memory after a warm-up, a quarter of the requests.
GROWTH = 0.03
WARM_UP = 4
# oneDNN keeps what it has prepared for each new shape, which would hide what a graph keeps.
PLAIN_KERNELS = {"TF_ENABLE_ONEDNN_OPTS": "0"}


def read_about(folder: str | Path) -> dict:
    """What an export's ``serving.json`` says of its model.

    Raises:
        CheckpointError: it cannot be read.
    """
    return read_extra(folder, "serving")


class ServedExport:
    """A loaded export, and requests that it must serve.

    Args:
        session: that has loaded it.
        about: its ``serving.json``.
    """

    def __init__(self, session: SeparateSession, about: Mapping):
        self.session, self.about = session, about
        self.signatures = session.signatures
        # What stands for the others where one is enough.
        self.main = MAIN if MAIN in self.signatures else min(self.signatures)
        self.sample_rate = about.get("sample_rate", OUTPUT_RATE)

    def request(self, name: str, pool: Inputs) -> Inputs:
        """The inputs of a signature, of ``pool`` and of what other signatures make of it."""
        described = self.signatures[name]["inputs"]
        missing = described.keys() - pool.keys()
        for other, its in self.signatures.items():
            if missing & its["outputs"].keys() and its["inputs"].keys() <= pool.keys():
                made = self.session.run(other, {key: pool[key] for key in its["inputs"]})
                pool = made | pool
                missing -= made.keys()
        rows = len(pool["text"])
        return {
            key: as_kind(pool[key], item["dtype"]) if key in pool else filler(item, rows)
            for key, item in described.items()
        }

    def texts(self, sizes: list[int], seed: int = 0) -> Inputs:
        """A request to the main signature with texts of so many characters."""
        language = next(iter(self.about.get("languages", ())), "en")
        # A token stands for one character at least; one is the language's.
        most = self.about.get("max_text_tokens", LONGEST) - 1
        return self.request(
            self.main, some_texts([min(size, most) for size in sizes], language, seed)
        )


def core_operations(folder: str | Path) -> str:
    """Every operation of its graphs is of TensorFlow's core."""
    try:
        foreign = foreign_operations(folder)
    except OSError as error:
        raise CheckpointError(f"{folder} is no exported model: {error}.") from error
    if foreign:
        raise Failed(f"not of TensorFlow's core: {', '.join(sorted(foreign))}")
    return "all of them"


def runs(
    export: ServedExport, name: str, expected: Run | None, tolerance: float = TOLERANCE
) -> str:
    """A signature gives what the model gives, twice where it takes what it gave."""
    inputs = export.request(name, every_language(export.about))
    worst = 0.0
    for _ in range(2):
        outputs = export.session.run(name, inputs)
        require_bounded(outputs, export.sample_rate)
        worst = max(worst, difference(outputs, expected(inputs), tolerance) if expected else 0.0)
        again = {key: value for key, value in outputs.items() if key in inputs}
        if not again:
            break
        inputs |= again
    rows = len(next(iter(inputs.values())))
    compared = f"{worst:.0e} of the peak from the model" if expected else NOT_COMPARED
    return f"{rows} rows, {compared}"


def batch(export: ServedExport, tolerance: float = TOLERANCE) -> str:
    """Texts of different lengths together are what each is alone."""
    inputs = export.texts(list(LENGTHS))
    together = export.session.run(export.main, inputs)
    worst = 0.0
    for row in range(len(LENGTHS)):
        alone = export.session.run(export.main, rows_of(inputs, [row]))
        worst = max(worst, difference(own_part(together, row, alone), alone, tolerance))
    return f"{len(LENGTHS)} rows, {worst:.0e} of the peak apart"


def threads(export: ServedExport) -> str:
    """Equal requests at the same time have identical outputs."""
    inputs = export.texts(list(LENGTHS[:1]))
    first, *others = export.session.run_at_once(export.main, inputs, THREADS)
    for other in others:
        for name, value in first.items():
            if not np.array_equal(value, other[name]):
                raise Failed(f"{name} differs between threads")
    return f"{1 + len(others)} identical replies"


def memory(export: ServedExport, requests: int) -> str:
    """Requests of random lengths leave nothing behind."""
    with SeparateSession(export.session.folder, PLAIN_KERNELS) as session:
        series = memory_series(ServedExport(session, export.about), requests)
    series = series[requests // WARM_UP :]
    first, last = (part.max() for part in np.array_split(series, 2))
    told = f"{last / first - 1:+.1%} of {first / 2**20:.0f} MB in {len(series)} requests"
    if last / first - 1 > GROWTH:
        raise Failed(f"it grew by {told}")
    return told


def memory_series(export: ServedExport, requests: int) -> np.ndarray:
    """Resident bytes ``(requests,)`` after each of as many requests of random lengths."""
    sizes = np.random.default_rng(0).integers(1, LONGEST, size=requests)
    sizes[:1] = LONGEST
    found = []
    for number, size in enumerate(sizes.tolist()):
        export.session.run(export.main, export.texts([size], number))
        found.append(export.session.resident)
    return np.array(found)


def text_ids(export: ServedExport, model: XTTS | None, sentences: int) -> str:
    """Ids of generated sentences are those of the Python tokenizer."""
    if "stream_start" not in export.signatures:
        return NO_SIGNATURE
    if model is None:
        return NOT_COMPARED
    rng, phonemes = np.random.default_rng(0), "".join(model.tokenizer.phonemes)
    counts = Counter(
        _compare_ids(export, model, text, language)
        for language in export.about["languages"]
        for text in random_sentences(language, sentences, rng, phonemes)
    )
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _compare_ids(export: ServedExport, model: XTTS, text: str, language: str) -> str:
    try:
        expected = model.tokenizer.encode(text, language)
    except TextError:
        expected = None  # a symbol in brackets is no phoneme, which the graph has to say too
    if expected and len(expected) > export.about["max_text_tokens"]:
        return "too long"
    request = {"text": np.array([text], object), "language": np.array([language], object)}
    try:
        found = export.session.run("stream_start", request)["ids"][0].tolist()
    except SessionError as error:
        if ADVICE in str(error):
            return "refused for a number"
        if expected is None and error.code != ABORTED:
            return "refused for a symbol"
        raise Failed(f"{language} {text!r}: {error}") from error
    if found != expected:
        raise Failed(f"{language} {text!r} has the ids {found}, not {expected}")
    return "equal"


def bad(export: ServedExport, name: str) -> str:
    """A bad request is refused or gives bounded audio, and good ones are served after it."""
    good = rows_of(export.request(name, every_language(export.about)), slice(1))
    expected = export.session.run(name, good)
    answers = Counter(_answer(export, name, *request) for request in bad_requests(good))
    difference(export.session.run(name, good), expected)
    return ", ".join(f"{count} {kind}" for kind, count in answers.items())


def _answer(export: ServedExport, name: str, what: str, inputs: Inputs) -> str:
    try:
        require_bounded(export.session.run(name, inputs), export.sample_rate)
    except SessionError as error:
        if error.code == ABORTED:
            raise Failed(f"{what}: {error}") from error
        return "refused"
    except Failed as error:
        raise Failed(f"{what}: {error}") from error
    return "bounded"
