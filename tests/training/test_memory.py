"""The estimate counts what a model has, and grows as training does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from myxtts.config import XTTSConfig
from myxtts.models.xtts import XTTS
from myxtts.training.memory import estimate_memory
from myxtts.training.stages.gpt import GPTTask
from tests.memory import measures_memory

ROOT = Path(__file__).resolve().parents[2]
MEASURE = """
import json, sys
import numpy as np, tensorflow as tf
from benchmarks.measuring import forget_peak, peak_mb, resident_mb
from myxtts.config import XTTSConfig
from myxtts.models.xtts import XTTS
from myxtts.training.stages.gpt import GPTTask
config = XTTSConfig.from_yaml(sys.argv[1])
model = XTTS(config)
task = GPTTask(model, config)
rows, text, codes = json.loads(sys.argv[2])
batch = {
    "text_ids": np.ones((rows, text), "int32"), "text_lengths": np.full(rows, text, "int32"),
    "mel": np.zeros((rows, 4 * codes, 80), "float32"),
    "mel_lengths": np.full(rows, 4 * codes, "int32"),
    "speaker_ids": np.zeros(rows, "int32"),
    "reference_mel": np.zeros((rows, 517, 80), "float32"),
    "reference_mask": np.ones((rows, 517), bool),
}
step = tf.function(task.train_step, autograph=False)
step.get_concrete_function({k: tf.constant(v) for k, v in batch.items()})
forget_peak()
before = resident_mb()
step({k: tf.constant(v) for k, v in batch.items()})
print(2**20 * (peak_mb() - before))
"""


@pytest.mark.parametrize("layers", [2, 5])
@pytest.mark.parametrize("pretrained", [False, True])
def test_weights_and_gradients_are_those_of_the_model(micro_config, layers, pretrained):
    sizes = {"gpt": {"layers": layers}, "use_pretrained_speaker_encoder": pretrained}
    config = micro_config.merged({"model": {**sizes, "speaker_encoder_type": "resemblyzer"}})
    estimate = estimate_memory(config)
    model = XTTS(config)
    parts = model.dvae, model.audio_encoder, model.gpt, model.decoder
    assert estimate.weights == 4 * sum(part.count_params() for part in parts)
    trained = GPTTask(model, config).trainable_variables
    assert estimate.gradients == 4 * sum(
        int(variable.value.shape.num_elements()) for variable in trained
    )
    assert estimate.optimizer == 2 * estimate.gradients


@pytest.mark.slow
def test_activations_grow_with_batch_and_shrink_in_bfloat16():
    config = XTTSConfig.preset("small")

    def estimate(**training):
        return estimate_memory(config.merged({"training": training}))

    one, two = (estimate(gpt={"batch_size": size}).activations for size in (4, 8))
    assert two == pytest.approx(2 * one)
    assert estimate(mixed_precision=True).activations < 0.8 * estimate().activations
    assert estimate().accumulation == 0
    assert estimate(gradient_accumulation=2).accumulation == estimate().gradients


@pytest.mark.slow
@measures_memory
def test_the_estimate_is_what_a_step_takes(tmp_path):
    changes = {
        "training": {"gpt": {"batch_size": 4}},
        "data": {"reference_seconds": 6.0, "max_seconds": 11.6},
        "model": {"gpt": {"layers": 8, "model_dim": 512, "heads": 8}},
    }
    config = XTTSConfig.preset("small").merged(changes)
    config.to_yaml(tmp_path / "config.yaml")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "config.yaml"), json.dumps([4, 197, 250])],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    estimate = estimate_memory(config)
    # Weights, and on a CPU the optimiser's moments, are there before the step.
    expected = estimate.gradients + estimate.activations
    assert float(done.stdout) == pytest.approx(expected, rel=0.35)


def test_the_command_prints_it(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "train_main.py"),
            "--preset",
            "tiny",
            "--estimate-memory",
            "--json",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    result = json.loads(done.stdout)
    assert result["total"] == sum(size for kind, size in result.items() if kind != "total")
