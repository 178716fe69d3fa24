"""The losses that teach the GPT where in the text it is."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.config import TrainingConfig
from myxtts.data.alignment import UNKNOWN_TOKEN
from myxtts.losses import IGNORED_TARGET, masked_cross_entropy
from myxtts.models.gpt import GPT
from myxtts.training.reading import ReadingLosses, alignment_loss, token_targets

IDS = 12  # text ids, and as many codes: each id is spoken by its own code


def toy_batch(seed: int, timed: bool = True, rows: int = 16) -> dict:
    """Texts without repetitions; each id is spoken for two to four codes, nobody knows how many."""
    rng = np.random.default_rng(seed)
    batch = {name: [] for name in ("text", "codes", "tokens")}
    for _ in range(rows):
        text = rng.permutation(IDS)[:8] + 1
        places = np.repeat(np.arange(8), rng.integers(2, 5, 8))[:24]
        batch["text"].append(text)
        batch["codes"].append(np.pad(text[places] - 1, (0, 24 - len(places))))
        batch["tokens"].append(np.pad(places, (0, 24 - len(places)), constant_values=-1))
    tokens = np.array(batch["tokens"], "int32")
    lengths = (tokens >= 0).sum(axis=1).astype("int32")
    return {
        "text_ids": np.array(batch["text"], "int32"),
        "text_lengths": np.full(rows, 8, "int32"),
        "audio_codes": np.array(batch["codes"], "int32"),
        "code_lengths": lengths,
        "conditioning_latents": np.zeros((rows, 1, 48), "float32"),
        "code_tokens": tokens if timed else np.full_like(tokens, UNKNOWN_TOKEN),
    }


def trained(steps: int, timed: bool, **weights) -> dict[str, float]:
    """Numbers of a batch it has not seen, after so many steps."""
    keras.utils.set_random_seed(1)
    gpt = GPT(2, 48, 2, IDS + 3, 10, 30, IDS, IDS + 1, IDS + 2, 0.0)
    gpt.build()
    settings = TrainingConfig(alignment_blocks=(1,), alignment_heads=1, **weights)
    reading = ReadingLosses(settings, gpt)
    variables = gpt.trainable_variables + reading.variables
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(variables)

    def numbers(batch):
        inputs = {name: value for name, value in batch.items() if name != "code_tokens"}
        outputs = gpt(inputs, attention_blocks=reading.blocks)
        more, found = reading(inputs, outputs, batch["code_tokens"])
        audio = masked_cross_entropy(outputs["audio_logits"], outputs["audio_targets"])
        return {"loss": audio + more, "audio_loss": audio} | found

    @tf.function(autograph=False)
    def step(batch):
        with tf.GradientTape() as tape:
            loss = numbers(batch)["loss"]
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    for seed in range(steps):
        step({name: tf.constant(value) for name, value in toy_batch(seed, timed).items()})
    unseen = {name: tf.constant(value) for name, value in toy_batch(10**6).items()}
    return {name: float(value) for name, value in numbers(unseen).items()}


def test_told_where_it_is_the_gpt_attends_there():
    found = trained(150, timed=True, alignment_loss_weight=0.3, token_loss_weight=0.3)
    assert found["alignment_share"] > 0.5  # chance is 0.125, and when an id ends is chance too
    assert found["token_accuracy"] > 0.5


@pytest.mark.slow
def test_the_forward_sum_finds_the_alignment_by_itself():
    found = trained(300, timed=False, alignment_loss_weight=0.3, forward_sum=True)
    assert found["alignment_share"] > 0.35


def test_without_a_weight_nothing_is_computed():
    gpt = GPT(2, 48, 2, IDS + 3, 10, 30, IDS, IDS + 1, IDS + 2, 0.0)
    gpt.build()
    reading = ReadingLosses(TrainingConfig(), gpt)
    assert (reading.blocks, reading.variables) == ((), [])
    assert reading({}, {}, None) == (0.0, {})


def test_targets_are_the_ids_that_are_spoken():
    ids = np.array([[7, 8, 9]], "int32")
    tokens = np.array([[0, 0, 1, UNKNOWN_TOKEN]], "int32")
    assert np.asarray(token_targets(ids, tokens)).tolist() == [[7, 7, 8, IGNORED_TARGET]]


def test_the_loss_is_minus_the_log_of_the_right_attention():
    attention = np.full((1, 2, 3, 4), 0.1, "float32")
    attention[0, 0, 0, 2], attention[0, 1, 0, 2] = 0.5, 0.25
    tokens = np.array([[2, UNKNOWN_TOKEN, UNKNOWN_TOKEN]], "int32")
    inputs = {"code_lengths": np.array([3], "int32"), "text_lengths": np.array([4], "int32")}
    loss, share = alignment_loss(attention, tokens, inputs)
    assert float(loss) == pytest.approx(-(np.log(0.5) + np.log(0.25)) / 2, rel=1e-4)
    assert float(share) == pytest.approx(0.375)
