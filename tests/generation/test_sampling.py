"""Filters equal Hugging Face's, and draws follow the distribution."""

import numpy as np
import pytest

from myxtts.generation import sampling

CASES = [(0.7, 5, 0.8, 1.3), (1.0, 0, 1.0, 1.0), (1.5, 3, 1.0, 5.0), (0.5, 0, 0.3, 2.0)]


def logits(rows: int = 6, classes: int = 20) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, classes)).astype("float32") * 2


@pytest.mark.parametrize(("temperature", "top_k", "top_p", "penalty"), CASES)
def test_filters_equal_hugging_faces(temperature, top_k, top_p, penalty):
    torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")
    hf = pytest.importorskip("transformers", reason="transformers is not installed")
    scores = torch.from_numpy(logits())
    spoken = torch.tensor([[1, 2, 3]] * len(scores))
    scores = hf.RepetitionPenaltyLogitsProcessor(penalty)(spoken, scores)
    scores = hf.TemperatureLogitsWarper(temperature)(spoken, scores)
    if top_k:
        scores = hf.TopKLogitsWarper(top_k)(spoken, scores)
    if top_p < 1:
        scores = hf.TopPLogitsWarper(top_p)(spoken, scores)
    expected = torch.softmax(scores, -1).numpy()
    seen = np.zeros((len(expected), 20), bool)
    seen[:, 1:4] = True
    ours = sampling.penalise_repetition(logits(), seen, penalty)
    ours = np.array(sampling.filter_logits(ours, temperature, top_k, top_p), "float64")
    ours = np.exp(ours - ours.max(-1, keepdims=True))
    np.testing.assert_allclose(ours / ours.sum(-1, keepdims=True), expected, atol=1e-6)


def test_options_may_be_tensors():
    import tensorflow as tf

    plain = sampling.filter_logits(logits(), 0.7, 4, 0.8)
    tensors = sampling.filter_logits(logits(), tf.constant(0.7), tf.constant(4), tf.constant(0.8))
    np.testing.assert_allclose(plain, tensors, rtol=1e-5)


def test_top_k_of_zero_keeps_all_as_a_tensor_too():
    import tensorflow as tf

    np.testing.assert_array_equal(sampling.keep_top_k(logits(), tf.constant(0)), logits())


def test_draws_follow_the_distribution():
    probabilities = np.array([0.5, 0.0, 0.3, 0.2])
    scores = np.log(probabilities + 1e-30).astype("float32")[None].repeat(4000, 0)
    uniforms = np.random.default_rng(0).random(4000, "float32")
    counts = np.bincount(np.asarray(sampling.draw(scores, uniforms)), minlength=4)
    np.testing.assert_allclose(counts / 4000, probabilities, atol=0.03)
    assert counts[1] == 0


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1.0 - 2**-24])
def test_removed_classes_are_never_drawn(uniform):
    scores = np.array([[-1e9, 1.0, 2.0, -1e9]], "float32")
    drawn = sampling.draw(scores, np.array([uniform], "float32"))
    assert int(drawn[0]) in (1, 2)
