"""Write the golden twin of a whole small XTTS: ``python -m tests.golden.make_xtts``.

Needs ``coqui-tts`` and torch. The file holds Coqui's results, thinned out, its
configuration and vocabulary, and the shapes of its weights: their values are drawn again.
"""

from __future__ import annotations

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.upstream import coqui
from tests.golden import xtts_case

COMMAND = "python -m tests.golden.make_xtts"
TARGET = Path(__file__).with_name("xtts.npz")
PACKAGES = ("coqui-tts", "torch", "transformers")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, dvae = coqui.write_checkpoint(folder)
        shapes = {"model": coqui.shapes(model), "dvae": coqui.shapes(dvae)}
        results = coqui.results(model, dvae, folder, xtts_case.make_inputs())
        texts = {name: (folder / name).read_text() for name in ("config.json", "vocab.json")}
    results["codes"] = results["codes"].astype("int16")
    results["audio_codes"] = results["audio_codes"].astype("int16")
    np.savez_compressed(
        TARGET,
        command=COMMAND,
        versions=json.dumps({name: version(name) for name in PACKAGES}),
        shapes=json.dumps(shapes),
        codebook=dvae.codebook.embed.numpy(),
        **{f"file/{name}": text for name, text in texts.items()},
        **{f"output/{name}": value for name, value in xtts_case.thinned(results).items()},
    )
    print(TARGET, TARGET.stat().st_size)


if __name__ == "__main__":
    main()
