"""Write the golden twins of the parity tests: ``python -m tests.golden.make_golden``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.golden import cases, reference

COMMAND = "python -m tests.golden.make_golden"


def main() -> None:
    for name, case in cases.CASES.items():
        module = reference.build(name)
        inputs = case.inputs(np.random.default_rng(1))
        outputs = reference.run(name, module, inputs)
        shapes = {key: value.shape for key, value in reference.state(module).items()}
        path = Path(__file__).with_name(f"{name}.npz")
        np.savez_compressed(
            path,
            command=COMMAND,
            shapes=json.dumps(shapes),
            **{f"input/{key}": value for key, value in inputs.items()},
            **{f"output/{key}": value for key, value in outputs.items()},
        )
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
