"""The objectives do what their formulas say."""

import itertools

import keras
import librosa
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from myxtts.errors import ConfigError
from myxtts.losses import (
    ContrastiveSpeakerLoss,
    GE2ELoss,
    adversarial_loss,
    beta_binomial_log_prior,
    discriminator_loss,
    feature_matching_loss,
    forward_sum_loss,
    masked_accuracy,
    masked_cross_entropy,
    stft_loss,
)
from myxtts.models import speaker_encoder


def test_cross_entropy_leaves_ignored_targets_out():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 5, 7)).astype("float32")
    targets = rng.integers(0, 7, (2, 5))
    targets[1, 2:] = -1
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    kept = [
        -log_probs[b, t, targets[b, t]] for b in range(2) for t in range(5) if targets[b, t] >= 0
    ]
    assert float(masked_cross_entropy(logits, targets)) == pytest.approx(np.mean(kept), rel=1e-5)


def test_cross_entropy_of_nothing_is_zero():
    assert float(masked_cross_entropy(np.ones((1, 3, 4), "float32"), np.full((1, 3), -1))) == 0


def test_accuracy_counts_kept_targets():
    logits = np.eye(4, dtype="float32")[None]
    assert float(masked_accuracy(logits, np.array([[0, 1, 0, -1]]))) == pytest.approx(2 / 3)


def contrastive_by_hand(embeddings, speakers, temperature, margin):
    unit = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    similarities = unit @ unit.T / temperature
    positive, negative = [], []
    for i in range(len(speakers)):
        for j in range(len(speakers)):
            if i != j and speakers[i] == speakers[j]:
                positive.append(similarities[i, j])
            elif speakers[i] != speakers[j]:
                negative.append(max(similarities[i, j] - margin, 0))
    return (-np.mean(positive) if positive else 0) + (np.mean(negative) if negative else 0)


@pytest.mark.parametrize("speakers", [[0, 0, 1, 1, 2], [0, 0, 0, 0, 0], [0, 1, 2, 3, 4]])
def test_contrastive_loss_equals_its_formula(speakers):
    embeddings = np.random.default_rng(1).normal(size=(5, 8)).astype("float32")
    loss = ContrastiveSpeakerLoss(temperature=0.1, margin=0.2)(np.array(speakers), embeddings)
    expected = contrastive_by_hand(embeddings, speakers, 0.1, 0.2)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_contrastive_loss_of_one_utterance_is_zero():
    assert float(ContrastiveSpeakerLoss()(np.array([4]), np.ones((1, 3), "float32"))) == 0


def test_gan_losses_are_zero_at_their_targets():
    real = [(np.ones((2, 3)), [np.ones((2, 4))])]
    fake = [(np.zeros((2, 3)), [np.ones((2, 4))])]
    assert float(discriminator_loss(real, fake)) == 0
    assert float(adversarial_loss(real)) == 0
    assert float(adversarial_loss(fake)) == 1
    assert float(feature_matching_loss(real, fake)) == 0


def ge2e_by_hand(embeddings, speakers, variant, scale=10.0, bias=-5.0):
    """Wan et al. 2018, utterance by utterance, over the speakers with two or more."""
    unit = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    speakers = np.asarray(speakers)
    names = [name for name in np.unique(speakers) if np.sum(speakers == name) > 1]
    losses = []
    for row, speaker in enumerate(speakers):
        if speaker not in names:
            continue
        scores = {}
        for name in names:
            members = [i for i in np.flatnonzero(speakers == name) if i != row]
            centroid = unit[members].mean(axis=0)
            scores[name] = scale * unit[row] @ centroid / np.linalg.norm(centroid) + bias
        own = scores.pop(speaker)
        others = np.array(list(scores.values()))
        if variant == "softmax":
            losses.append(-own + np.log(np.exp(own) + np.exp(others).sum()))
        else:
            nearest = max((1 / (1 + np.exp(-others))), default=0.0)
            losses.append(1 - 1 / (1 + np.exp(-own)) + nearest)
    return np.mean(losses) if losses else 0.0


def draw(speakers, dim: int = 8, seed: int = 1) -> np.ndarray:
    """Embeddings that lie around their speakers'."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(speakers) + 1, dim))
    return (centres[speakers] + rng.normal(size=(len(speakers), dim))).astype("float32")


REGULAR = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
RAGGED = [7, 2, 2, 5, 2, 7, 5, 7, 7]
LONE = [0, 1, 0, 2, 1, 3]
VARIANTS = ("softmax", "contrast")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("speakers", [REGULAR, RAGGED, LONE, [0, 0, 0], [0, 1, 2]])
def test_ge2e_loss_equals_its_formula(speakers, variant):
    embeddings = draw(speakers)
    expected = ge2e_by_hand(embeddings, speakers, variant)
    loss = GE2ELoss(variant)(np.array(speakers), embeddings)
    assert float(loss) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_ge2e_loss_reads_its_scale_and_bias():
    embeddings = draw(RAGGED)
    loss = GE2ELoss("softmax", scale=3.0, bias=1.5)(np.array(RAGGED), embeddings)
    expected = ge2e_by_hand(embeddings, RAGGED, "softmax", 3.0, 1.5)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_ge2e_loss_equals_coquis(variant):
    """Coqui's averages too; it clips negative cosines, of which there are none here."""
    torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")
    losses = pytest.importorskip(
        "TTS.encoder.losses", reason="coqui-tts is not installed (make reference)"
    )
    unit = np.abs(draw(REGULAR))
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    upstream = losses.GE2ELoss(loss_method=variant)
    expected = upstream(torch.from_numpy(unit.reshape(4, 3, -1))).item()
    assert float(GE2ELoss(variant)(np.array(REGULAR), unit)) == pytest.approx(expected, rel=1e-5)


def matrix_loss(embeddings: np.ndarray, scale: float, bias: float) -> float:
    """The paper's similarity matrix ``(P * K, P)`` in one piece, and its cross-entropy."""
    from sklearn.metrics import log_loss

    speakers, each, _ = embeddings.shape
    inclusive = embeddings.mean(axis=1)
    exclusive = (embeddings.sum(axis=1, keepdims=True) - embeddings) / (each - 1)
    inclusive /= np.linalg.norm(inclusive, axis=-1, keepdims=True)
    exclusive /= np.linalg.norm(exclusive, axis=-1, keepdims=True)
    matrix = np.einsum("jid,kd->jik", embeddings, inclusive)
    for number in range(speakers):
        matrix[number, :, number] = np.sum(embeddings[number] * exclusive[number], axis=-1)
    scores = np.exp(scale * matrix.reshape(-1, speakers) + bias)
    shares = scores / scores.sum(axis=1, keepdims=True)
    return log_loss(np.repeat(np.arange(speakers), each), shares)


def test_ge2e_loss_equals_the_similarity_matrix_of_a_regular_batch():
    unit = draw(REGULAR)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    expected = matrix_loss(unit.reshape(4, 3, -1).astype("float64"), 10.0, -5.0)
    loss = GE2ELoss()(np.array(REGULAR), unit)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_speaker_with_one_utterance_takes_no_part_in_ge2e(variant):
    speakers = [0, 0, 1, 1, 1]
    embeddings = draw([*speakers, 2])
    with_lone = GE2ELoss(variant)(np.array([*speakers, 2]), embeddings)
    without = GE2ELoss(variant)(np.array(speakers), embeddings[:-1])
    assert float(with_lone) == pytest.approx(float(without), rel=1e-6)


def test_ge2e_of_one_speaker_is_zero():
    assert float(GE2ELoss()(np.zeros(4, int), draw([0] * 4))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_ge2e_without_pairs_is_zero(variant):
    assert float(GE2ELoss(variant)(np.arange(4), draw([0, 1, 2, 3]))) == 0
    assert float(GE2ELoss(variant)(np.array([5]), draw([0]))) == 0


SPEAKER_LOSSES = {
    "contrastive": ContrastiveSpeakerLoss,
    "softmax": GE2ELoss,
    "contrast": lambda: GE2ELoss("contrast"),
}
each_speaker_loss = pytest.mark.parametrize("make", SPEAKER_LOSSES.values(), ids=SPEAKER_LOSSES)


def gradients(loss, speakers, embeddings) -> list[np.ndarray]:
    """Of the embeddings and of what the loss learns."""
    embeddings = tf.constant(embeddings, "float32")
    loss(np.array(speakers), embeddings)
    learnt = [variable.value for variable in getattr(loss, "trainable_variables", [])]
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = loss(np.array(speakers), embeddings)
    return [np.asarray(item) for item in tape.gradient(value, [embeddings, *learnt])]


@each_speaker_loss
@pytest.mark.parametrize("speakers", [REGULAR[:6], RAGGED[:6], LONE, [0] * 6, range(6)])
@pytest.mark.parametrize("kind", ["drawn", "identical", "zero", "opposite"])
def test_gradients_of_speaker_losses_are_finite(make, speakers, kind):
    unit = np.ones((6, 4)) / 2
    embeddings = {
        "drawn": draw(list(range(6))),
        "identical": unit,
        "zero": np.zeros((6, 4)),
        "opposite": unit * np.array([1, -1] * 3)[:, None],
    }[kind]
    assert all(np.isfinite(item).all() for item in gradients(make(), speakers, embeddings))


@each_speaker_loss
def test_speaker_losses_see_neither_the_order_of_rows_nor_their_length(make):
    embeddings, speakers = draw(RAGGED), np.array(RAGGED)
    expected = float(make()(speakers, embeddings))
    rng = np.random.default_rng(0)
    order = rng.permutation(len(speakers))
    assert float(make()(speakers[order], embeddings[order])) == pytest.approx(expected, rel=1e-5)
    lengths = rng.uniform(0.1, 50, (len(speakers), 1)).astype("float32")
    assert float(make()(speakers, lengths * embeddings)) == pytest.approx(expected, rel=1e-5)
    assert float(make()(100 - speakers[:, None], embeddings)) == pytest.approx(expected, rel=1e-6)


@each_speaker_loss
def test_speaker_losses_draw_speakers_together(make):
    loss, speakers = make(), np.array(REGULAR)
    embeddings = tf.Variable(draw(REGULAR))
    optimizer = keras.optimizers.Adam(0.05)
    for _ in range(60):
        with tf.GradientTape() as tape:
            value = loss(speakers, embeddings)
        optimizer.apply(tape.gradient(value, [embeddings]), [embeddings])
    unit = np.asarray(embeddings) / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    same = speakers[:, None] == speakers
    assert (unit @ unit.T)[same].min() > (unit @ unit.T)[~same].max()


def test_ge2e_learns_its_scale_and_bias():
    """Separated speakers want a larger scale; the bias cancels in the softmax alone."""
    speakers = np.array(REGULAR)
    for variant in VARIANTS:
        loss = GE2ELoss(variant)
        _, scale, bias = gradients(loss, speakers, draw(REGULAR))
        assert scale != 0
        assert (abs(bias) > 1e-4) == (variant == "contrast")
        assert [variable.name for variable in loss.trainable_variables] == ["scale", "bias"]


@each_speaker_loss
def test_speaker_losses_compute_in_float32_under_half_precision(make):
    speakers, rounded = np.array(REGULAR), tf.cast(draw(REGULAR), "bfloat16")
    expected = float(make()(speakers, tf.cast(rounded, "float32")))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        loss = make()(speakers, rounded)
    finally:
        keras.config.set_dtype_policy("float32")
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(expected, rel=1e-6)


@each_speaker_loss
def test_speaker_losses_can_be_compiled(make):
    loss, embeddings = make(), draw(RAGGED)
    expected = float(loss(np.array(RAGGED), embeddings))
    compiled = tf.function(loss, jit_compile=True)
    assert float(compiled(np.array(RAGGED), embeddings)) == pytest.approx(expected, rel=1e-5)


def test_configurations_make_the_same_losses():
    contrast = GE2ELoss("contrast", scale=4.0, bias=1.0, name="mine")
    for loss in (contrast, ContrastiveSpeakerLoss(0.5, 0.3, name="mine")):
        again = type(loss).from_config(loss.get_config())
        assert again.get_config() == loss.get_config()
        embeddings = draw(REGULAR)
        values = [float(item(np.array(REGULAR), embeddings)) for item in (loss, again)]
        assert values[0] == values[1]


def test_unknown_variants_of_ge2e_are_refused():
    with pytest.raises(ConfigError, match="'triplet'; choose softmax or contrast"):
        GE2ELoss("triplet")


def test_speaker_losses_stand_beside_the_encoders_too():
    assert speaker_encoder.GE2ELoss is GE2ELoss
    assert speaker_encoder.ContrastiveSpeakerLoss is ContrastiveSpeakerLoss


def alignments(codes: int, tokens: int) -> list[tuple[int, ...]]:
    """All ways to give each code a token, as the docstring of the loss describes them."""
    ways = [
        path
        for path in itertools.product(range(tokens), repeat=codes)
        if path[0] <= 1 and path[-1] >= tokens - 2
    ]
    return [path for path in ways if all(0 <= step <= 2 for step in np.diff(path))]


def forward_sum_by_hand(log_weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss and probabilities of one row without padding, alignment by alignment."""
    codes, tokens = log_weights.shape
    ways = alignments(codes, tokens)
    weights = np.exp([sum(log_weights[k, token] for k, token in enumerate(way)) for way in ways])
    probabilities = np.zeros((codes, tokens))
    for way, weight in zip(ways, weights / weights.sum(), strict=True):
        probabilities[np.arange(codes), way] += weight
    return -np.log(weights.sum()), probabilities


def test_forward_sum_equals_the_sum_over_all_alignments():
    rng = np.random.default_rng(4)
    sizes = [(6, 4), (5, 5), (3, 4), (1, 2), (6, 1)]
    log_weights = rng.normal(size=(len(sizes), 6, 5)).astype("float32")
    lengths = np.array(sizes, "int32").T
    losses, probabilities = forward_sum_loss(log_weights, *lengths)
    for row, (codes, tokens) in enumerate(sizes):
        loss, expected = forward_sum_by_hand(log_weights[row, :codes, :tokens])
        assert float(losses[row]) == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(probabilities[row, :codes, :tokens], expected, atol=1e-5)
        assert not np.asarray(probabilities[row, codes:]).any()
        assert not np.asarray(probabilities[row, :, tokens:]).any()


def test_forward_sums_gradient_is_that_of_finite_differences():
    weights = np.random.default_rng(5).normal(size=(1, 5, 4))
    lengths = np.array([5], "int32"), np.array([4], "int32")
    with tf.GradientTape() as tape:
        variable = tf.Variable(weights.astype("float32"))
        loss = tf.reduce_sum(forward_sum_loss(variable, *lengths)[0])
    found = np.asarray(tape.gradient(loss, variable))[0]
    step = 1e-5
    for place in [(0, 0), (2, 1), (4, 3), (3, 0)]:
        moved = weights[0].copy()
        moved[place] += step
        slope = (forward_sum_by_hand(moved)[0] - forward_sum_by_hand(weights[0])[0]) / step
        assert found[place] == pytest.approx(slope, abs=1e-4)


def test_forward_sum_of_what_cannot_be_aligned_is_zero():
    """Two codes cannot pass seven tokens."""
    losses, probabilities = forward_sum_loss(
        np.zeros((1, 2, 7), "float32"), np.array([2], "int32"), np.array([7], "int32")
    )
    assert float(losses[0]) == 0.0
    assert not np.asarray(probabilities).any()


def test_the_prior_is_the_beta_binomial_distribution():
    codes, tokens = np.array([7, 4], "int32"), np.array([5, 3], "int32")
    prior = np.exp(np.asarray(beta_binomial_log_prior(codes, tokens, 7, 5)))
    for row in range(2):
        for k in range(codes[row]):
            last = tokens[row] - 1
            expected = scipy.stats.betabinom.pmf(range(last + 1), last, k + 1, codes[row] - k)
            np.testing.assert_allclose(prior[row, k, : last + 1], expected, rtol=1e-4)
    assert prior[1, :, 3:].max() < 1e-6


def test_the_stft_loss_is_its_formula():
    rng = np.random.default_rng(6)
    real, fake = rng.normal(size=(2, 2, 4096), scale=0.1).astype("float32")
    expected = []
    for size in (512, 1024, 2048):
        edge = (size - size // 4) // 2
        target, found = (
            np.abs(
                librosa.stft(
                    np.pad(wave, [(0, 0), (edge, edge)]),
                    n_fft=size,
                    hop_length=size // 4,
                    center=False,
                )
            )
            for wave in (real, fake)
        )
        target, found = (np.maximum(item, 1e-5**0.5) for item in (target, found))
        convergence = np.linalg.norm(target - found) / np.linalg.norm(target)
        expected.append(convergence + np.mean(np.abs(np.log(target) - np.log(found))))
    assert float(stft_loss(real, fake)) == pytest.approx(np.mean(expected), rel=1e-4)


def test_the_stft_loss_of_the_same_is_nothing_and_has_a_gradient():
    wave = tf.constant(np.random.default_rng(7).normal(size=(1, 4096)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(wave)
        loss = stft_loss(wave, wave)
    assert float(loss) < 1e-4
    assert np.isfinite(tape.gradient(loss, wave)).all()
    assert np.isfinite(stft_loss(tf.zeros((1, 4096)), wave))


def test_hinge_losses_are_their_formulas():
    real, fake = ([(np.array(values, "float32"), [])] for values in ([2.0, 0.5], [-3.0, 0.25]))
    expected = np.mean([0.0, 0.5]) + np.mean([0.0, 1.25])
    assert float(discriminator_loss(real, fake, "hinge")) == pytest.approx(expected)
    assert float(adversarial_loss(fake, "hinge")) == pytest.approx(np.mean([4.0, 0.75]))
