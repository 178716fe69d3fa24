"""The speaker stage in bfloat16 beside float32: equal weights, one batch, one step."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.errors import ConfigError
from myxtts.speaker_config import SpeakerConfig
from myxtts.training.stages.speaker import SpeakerTask
from myxtts.training.stages.speaker_system import start_encoder
from tests.conftest import MICRO

ROWS, SAMPLES = 8, 12_000
# Rounding to 8 bits of mantissa, through all layers: of the loss relative, of the gradients the
# cosine between all of one and all of the other. Measured here: 0.001 to 0.021, and 0.984 or more
# for ECAPA-TDNN. A tiny WavLM of random weights gives all speakers nearly one embedding, and what
# its first layers are told is mostly rounding (cosine 0.54 by AAM-softmax): only the norm is like.
LOSS, GRADIENT, NORM = 0.05, 0.97, 0.4


@pytest.fixture(autouse=True)
def float32_again():
    yield
    keras.config.set_dtype_policy("float32")


def config_of(kind: str, loss: str, mixed: bool) -> SpeakerConfig:
    sizes = {name: MICRO["model"][name] for name in ("ecapa", "wavlm")}
    return SpeakerConfig().merged(
        {
            "model": {"speaker_encoder_type": kind, **sizes},
            "data": {"speakers_per_batch": ROWS // 2},
            "training": {
                "loss": loss,
                "mixed_precision": mixed,
                "speaker": {"batch_size": ROWS, "warmup_steps": 0},
            },
        }
    )


def stepped(kind: str, loss: str, mixed: bool, tmp_path) -> SimpleNamespace:
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    keras.utils.set_random_seed(0)
    config = config_of(kind, loss, mixed)
    encoder, _ = start_encoder(config, tmp_path)
    task = SpeakerTask(SimpleNamespace(encoder=encoder, speakers=list("abcd")), config)
    rng = np.random.default_rng(1)
    level = 0.2 * np.abs(np.sin(np.linspace(0, 9, SAMPLES)))
    batch = {
        "audio": tf.constant((level * rng.normal(size=(ROWS, SAMPLES))).astype("float32")),
        "lengths": tf.constant([SAMPLES] * (ROWS - 1) + [SAMPLES - 3000]),
        "speakers": tf.constant(np.arange(ROWS) // 2),
    }
    learning = task.encoder.trainable_variables
    with tf.GradientTape() as tape:
        found = task.losses(batch, training=True)["loss"]
    gradients = tape.gradient(found, [variable.value for variable in learning])
    flat = np.concatenate([np.ravel(tf.convert_to_tensor(item)) for item in gradients])
    numbers = task.train_step(batch)
    return SimpleNamespace(
        task=task,
        loss=float(found),
        gradient=flat,
        norm=float(numbers["gradient_norm"]),
        kinds={variable.dtype for variable in task.variables if "float" in variable.dtype},
    )


@pytest.mark.parametrize(
    ("kind", "loss"), [("ecapa_tdnn", "aam_softmax"), ("ecapa_tdnn", "ge2e"), ("wavlm", "ge2e")]
)
def test_a_step_in_bfloat16_is_nearly_that_in_float32(kind, loss, tmp_path):
    half, whole = (stepped(kind, loss, mixed, tmp_path) for mixed in (True, False))
    assert half.loss != whole.loss  # or nothing was rounded
    assert half.loss == pytest.approx(whole.loss, rel=LOSS)
    norms = np.linalg.norm(half.gradient), np.linalg.norm(whole.gradient)
    if kind == "ecapa_tdnn":
        assert half.gradient @ whole.gradient > GRADIENT * norms[0] * norms[1]
    assert norms[0] == pytest.approx(norms[1], rel=NORM)
    assert half.kinds == {"float32"}  # weights and all that a checkpoint holds


@pytest.mark.parametrize("keep", [False, True])
def test_statistics_stay_where_they_are_to(keep, tmp_path):
    config = config_of("ecapa_tdnn", "ge2e", False).merged({"training": {"keep_statistics": keep}})
    encoder, _ = start_encoder(config, tmp_path)
    task = SpeakerTask(SimpleNamespace(encoder=encoder, speakers=list("abcd")), config)
    kept = [item for item in task.encoder.non_trainable_variables if "moving" in item.path]
    before = [np.array(item) for item in kept]
    audio = np.random.default_rng(1).normal(size=(ROWS, SAMPLES)).astype("float32")
    lengths, speakers = tf.fill([ROWS], SAMPLES), tf.range(ROWS) // 2
    batch = {"audio": tf.constant(audio), "lengths": lengths, "speakers": speakers}
    assert np.isfinite(float(task.train_step(batch)["gradient_norm"]))
    same = [np.array_equal(old, new) for old, new in zip(before, kept, strict=True)]
    assert len(kept) > 10 and set(same) == {keep}


@pytest.mark.parametrize("kind", ["resemblyzer", "wavlm"])
def test_encoders_without_batch_norms_have_no_statistics_to_keep(kind):
    model = {"speaker_encoder_type": kind}
    with pytest.raises(ConfigError, match=r"keep_statistics is for ecapa_tdnn and coqui"):
        SpeakerConfig().merged({"model": model, "training": {"keep_statistics": True}})


@pytest.mark.parametrize("kind", ["resemblyzer", "coqui"])
def test_encoders_that_know_float32_alone_refuse(kind):
    with pytest.raises(ConfigError, match=r"mixed_precision is for ecapa_tdnn and wavlm"):
        config_of(kind, "ge2e", True)
