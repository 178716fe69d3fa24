"""Objectives of the training stages and of speaker embeddings.

All of them run on ``keras.ops`` and compute in float32 whatever the precision
policy of the layers. Where several replicas share a batch, each is that of the whole batch, see
:mod:`myxtts.replicas`.
"""

from __future__ import annotations

import keras
from keras import ops

from myxtts import replicas
from myxtts.audio.mel import sequence_mask
from myxtts.audio.stft import power_spectrum
from myxtts.errors import ConfigError

IGNORED_TARGET = -1
# Added to a logit that must not count.
LEFT_OUT = -1e9
# Sizes of the spectra that waveforms are compared by, in samples, and power below which there
# is silence.
RESOLUTIONS = (512, 1024, 2048)
LEAST_POWER = 1e-5
# Of the tokens of a text, so many may be passed by an alignment at once: spaces have no sound.
LONGEST_STEP = 2


def masked_mean(values, mask):
    """Mean of float ``values`` where ``mask``, bool or 0 and 1, is true; 0 where it never is."""
    weights = ops.cast(mask, "float32")
    part, weight = replicas.totals(ops.sum(values * weights), ops.sum(weights))
    return part / ops.maximum(weight, 1.0)


def whole_mean(values):
    """Mean of all ``values``, float32 where several replicas have a part of them."""
    if replicas.alone():
        return ops.mean(values)
    count = ops.cast(ops.size(values), "float32")
    part, count = replicas.totals(ops.sum(ops.cast(values, "float32")), count)
    return part / ops.maximum(count, 1.0)


def masked_cross_entropy(logits, targets):
    """Mean cross-entropy over the targets that are not ``IGNORED_TARGET``.

    Args:
        logits: float tensor ``(batch, positions, classes)``.
        targets: int tensor ``(batch, positions)``; -1 marks positions left out.

    Returns:
        Scalar in nats; 0 when every position is left out.
    """
    kept = ops.not_equal(targets, IGNORED_TARGET)
    labels = ops.maximum(targets, 0)
    losses = ops.nn.sparse_categorical_crossentropy(
        labels, ops.cast(logits, "float32"), from_logits=True
    )
    return masked_mean(losses, kept)


def masked_accuracy(logits, targets):
    """Share of the kept targets that the largest logit names, a scalar in [0, 1]."""
    kept = ops.not_equal(targets, IGNORED_TARGET)
    guesses = ops.cast(ops.argmax(logits, axis=-1), targets.dtype)
    hits = ops.cast(ops.equal(guesses, targets), "float32")
    return masked_mean(hits, kept)


def forward_sum_loss(log_weights, code_lengths, token_lengths):
    """Minus the log of the summed weight of all monotonic alignments (Badlani et al. 2021).

    An alignment gives each code one token. It begins at one of the first two tokens, stays or
    goes on by one or two from code to code, and ends at one of the last two; the paper's passes
    no token by, which wants more frames than tokens. Its weight is the product of its codes'.

    Args:
        log_weights: float ``(rows, codes, tokens)``: log of how much a code attends to a token.
        code_lengths, token_lengths: int ``(rows,)``.

    Returns:
        Losses ``(rows,)`` in nats, summed over the codes, 0 where no alignment is possible, with
        their gradient; and ``(rows, codes, tokens)``, without one, how probable it is that a code
        is at a token.
    """
    codes, tokens = ops.shape(log_weights)[1], ops.shape(log_weights)[2]
    inside = sequence_mask(code_lengths, codes)[:, :, None]
    inside = ops.logical_and(inside, sequence_mask(token_lengths, tokens)[:, None, :])
    log_weights = ops.cast(log_weights, "float32")
    # The gradient is known: the alignment's probabilities. None goes back through the recursion.
    scores = ops.where(inside, ops.stop_gradient(log_weights), LEFT_OUT)
    turned = _turned(scores, code_lengths, token_lengths)
    sums = _prefix_sums(ops.concatenate([scores, ops.where(inside, turned, LEFT_OUT)]))
    before, after = ops.split(sums, 2)
    after = _turned(after, code_lengths, token_lengths)
    through = ops.where(inside, before + after - scores, LEFT_OUT)
    # Every alignment passes the first code once.
    totals = ops.logsumexp(through[:, 0], axis=1)
    possible = totals > 0.5 * LEFT_OUT
    probabilities = ops.exp(ops.minimum(through - totals[:, None, None], 0.0))
    probabilities = ops.where(inside & possible[:, None, None], probabilities, 0.0)
    carried = ops.sum(probabilities * ops.where(inside, log_weights, 0.0), axis=(1, 2))
    losses = ops.stop_gradient(carried) - carried - totals
    return ops.where(possible, losses, 0.0), probabilities


def _prefix_sums(scores):
    """Log of the summed weight of all alignments up to a code that end at a token there."""
    rows, tokens = ops.shape(scores)[0], ops.shape(scores)[2]
    # In front of the first token are those from which it can be reached.
    front = [[0, 0], [LONGEST_STEP, 0]]
    start = ops.where(ops.arange(tokens + LONGEST_STEP) == LONGEST_STEP - 1, 0.0, LEFT_OUT)

    def advance(state, score):
        steps = [state[:, step : step + tokens] for step in range(LONGEST_STEP + 1)]
        sums = score + ops.logsumexp(ops.stack(steps), axis=0)
        sums = ops.pad(sums, front, constant_values=LEFT_OUT)
        return sums, sums

    start = ops.broadcast_to(start, (rows, tokens + LONGEST_STEP))
    _, states = ops.scan(advance, start, ops.transpose(scores, (1, 0, 2)))
    return ops.transpose(states, (1, 0, 2))[:, :, LONGEST_STEP:]


def _turned(values, code_lengths, token_lengths):
    """``(rows, codes, tokens)`` from the last code and token to the first, padding aside."""
    for axis, lengths in ((1, code_lengths), (2, token_lengths)):
        places = lengths[:, None] - 1 - ops.arange(ops.shape(values)[axis])[None]
        places = ops.expand_dims(ops.maximum(places, 0), 3 - axis)
        shape = [ops.shape(values)[other] if other else ops.shape(values)[0] for other in range(3)]
        values = ops.take_along_axis(values, ops.broadcast_to(places, shape), axis=axis)
    return values


def beta_binomial_log_prior(code_lengths, token_lengths, codes, tokens):
    """Where the tokens of a text are expected before anything is known (Badlani et al. 2021).

    A code's token has a beta-binomial distribution, which moves evenly from the first to the last.

    Args:
        code_lengths, token_lengths: int ``(rows,)``.
        codes, tokens: the padded sizes.

    Returns:
        Log probabilities float32 ``(rows, codes, tokens)``; those of a code add up to one.
    """
    code_lengths = ops.cast(code_lengths, "float32")[:, None, None]
    last = ops.cast(token_lengths, "float32")[:, None, None] - 1
    alpha = ops.arange(1, codes + 1, dtype="float32")[None, :, None]
    beta = ops.maximum(code_lengths + 1 - alpha, 1.0)
    token = ops.arange(tokens, dtype="float32")[None, None]
    # How much more probable the next token is than this one.
    ratio = (last - token) * (token + alpha) / ((token + 1) * (last - token - 1 + beta))
    steps = ops.log(ops.where(token < last, ratio, 1.0))
    logits = ops.cumsum(steps, axis=2) - steps
    return ops.log_softmax(ops.where(token <= last, logits, LEFT_OUT), axis=-1)


class ContrastiveSpeakerLoss(keras.losses.Loss):
    """Pull a speaker's embeddings together and push other speakers' apart.

    Similarities are ``normalised(e) @ normalised(e).T / temperature``. The
    positive part is minus their mean over pairs of one speaker, the negative
    part the mean over pairs of two speakers of ``relu(similarity - margin)``.
    The diagonal takes no part, and a part without any pair is zero.

    Args:
        temperature: divides the cosine similarities.
        margin: scaled similarity under which a negative pair costs nothing.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        margin: float = 0.2,
        name: str = "contrastive_speaker_loss",
    ):
        super().__init__(name=name, reduction=None)
        self.temperature = temperature
        self.margin = margin

    def call(self, y_true, y_pred):
        """Return the scalar loss of ``y_pred`` ``(batch, dim)`` under speaker ids ``(batch,)``."""
        speakers = replicas.gathered(ops.reshape(y_true, (-1,)))
        embeddings = replicas.gathered(ops.cast(y_pred, "float32"))
        embeddings = ops.normalize(embeddings, axis=-1, epsilon=1e-12)
        similarities = ops.matmul(embeddings, ops.transpose(embeddings)) / self.temperature
        same = ops.cast(ops.equal(speakers[:, None], speakers[None, :]), "float32")
        positive = same - ops.eye(ops.shape(speakers)[0], dtype="float32")
        pull = -masked_mean(similarities, positive)
        push = masked_mean(ops.relu(similarities - self.margin), 1.0 - same)
        return pull + push

    def get_config(self) -> dict:
        return {"temperature": self.temperature, "margin": self.margin, "name": self.name}


def unit_length(vectors):
    """``vectors`` ``(..., dim)`` brought to length one, in float32."""
    return ops.normalize(ops.cast(vectors, "float32"), axis=-1, epsilon=1e-12)


class ScaledCosines:
    """What makes a layer a loss on cosines with a scale and a bias that it learns, in float32.

    Args:
        scale, bias: where the two begin; the scale stays positive.
    """

    def __init__(self, scale: float, bias: float, **kwargs):
        super().__init__(**kwargs | {"dtype": "float32"})
        self.start = {"scale": scale, "bias": bias}

    def build(self, *shapes):
        for name, value in self.start.items():
            initializer = keras.initializers.Constant(value)
            setattr(self, name, self.add_weight(name=name, shape=(), initializer=initializer))
        self.built = True

    def scaled(self, cosines):
        """Logits of ``cosines``."""
        return ops.maximum(self.scale, 1e-6) * cosines + self.bias


class GE2ELoss(ScaledCosines, keras.layers.Layer):
    """Generalised end-to-end loss (Wan et al. 2018) with its learnt scale and bias.

    Every utterance is compared with the centroid of every speaker of the batch by
    ``scale * cosine + bias``; its own speaker's centroid is that of the speaker's
    other utterances. ``softmax`` is the cross-entropy of the own speaker, ``contrast``
    is ``1 - sigmoid(own) + sigmoid(nearest other)``. The paper sums over the
    utterances; here they are averaged, so that the loss does not depend on the
    batch's size. A speaker with one utterance takes no part.

    Args:
        variant: ``softmax`` or ``contrast``.
        scale, bias: where the two begin; the scale stays positive.

    Raises:
        ConfigError: ``variant`` is neither.
    """

    def __init__(
        self,
        variant: str = "softmax",
        scale: float = 10.0,
        bias: float = -5.0,
        name: str = "ge2e_loss",
        **kwargs,
    ):
        super().__init__(scale, bias, name=name, **kwargs)
        if variant not in ("softmax", "contrast"):
            raise ConfigError(f"variant of GE2ELoss is {variant!r}; choose softmax or contrast.")
        self.variant = variant

    def call(self, y_true, y_pred):
        """Return the scalar loss of ``y_pred`` ``(batch, dim)`` under speaker ids ``(batch,)``."""
        speakers = replicas.gathered(ops.reshape(y_true, (-1,)))
        own, others, counts, same = _centroid_cosines(speakers, replicas.gathered(y_pred))
        own, others = self.scaled(own), self.scaled(others)
        paired = counts > 1
        if self.variant == "softmax":
            # A speaker's centroid stands in as many columns as it has utterances.
            shares = ops.where(paired, -ops.log(counts), LEFT_OUT)
            columns = ops.where(same, own[:, None], others) + shares[None, :]
            losses = ops.logsumexp(columns, axis=1) - own
        else:
            strangers = ops.where(same | ~paired[None, :], 0.0, ops.sigmoid(others))
            losses = 1.0 - ops.sigmoid(own) + ops.max(strangers, axis=1)
        return masked_mean(losses, paired)


def _centroid_cosines(speakers, embeddings) -> tuple:
    """Cosines of every utterance with its own and with every column's speaker's centroid.

    Returns:
        ``own`` ``(batch,)``, ``others`` ``(batch, batch)``, utterances of each row's
        speaker ``(batch,)`` and whether row and column are of one speaker.
    """
    embeddings = unit_length(embeddings)
    same = ops.equal(speakers[:, None], speakers[None, :])
    weights = ops.cast(same, "float32")
    sums = ops.matmul(weights, embeddings)
    centroids = unit_length(sums)
    rest = unit_length(sums - embeddings)
    own = ops.sum(embeddings * rest, axis=-1)
    others = ops.matmul(embeddings, ops.transpose(centroids))
    return own, others, ops.sum(weights, axis=1), same


def stft_loss(real, fake):
    """Distance of magnitude spectra in several resolutions (Yamamoto et al. 2020).

    Of each, the spectral convergence (norm of the difference over that of ``real``) and the mean
    absolute difference of the logarithms are added, and the mean is taken over the resolutions.

    Args:
        real, fake: waveforms float ``(batch, samples)``.
    """
    losses = []
    for size in RESOLUTIONS:
        target, found = (
            ops.maximum(power_spectrum(wave, size, size // 4), LEAST_POWER) for wave in (real, fake)
        )
        off = ops.sum(ops.square(ops.sqrt(target) - ops.sqrt(found)))
        off, power = replicas.totals(off, ops.sum(target))
        # Where nothing differs the root has no gradient.
        convergence = ops.sqrt(ops.maximum(off, LEAST_POWER) / power)
        losses.append(convergence + 0.5 * whole_mean(ops.abs(ops.log(target) - ops.log(found))))
    return sum(losses) / len(losses)


def discriminator_loss(real_outputs, fake_outputs, objective="least_squares"):
    """GAN loss of discriminators: least squares (Kong et al. 2020) or hinge (Siuzdak 2023).

    Args:
        real_outputs, fake_outputs: lists of ``(score, features)``, one a discriminator.
        objective: ``least_squares`` or ``hinge``.

    Returns:
        Scalar summed over the discriminators.
    """
    total, cost = 0.0, ops.relu if objective == "hinge" else ops.square
    for (real, _), (fake, _) in zip(real_outputs, fake_outputs, strict=True):
        total += whole_mean(cost(1.0 - ops.cast(real, "float32")))
        fake = ops.cast(fake, "float32")
        total += whole_mean(cost(1.0 + fake if objective == "hinge" else fake))
    return total


def adversarial_loss(fake_outputs, objective="least_squares"):
    """GAN loss of the generator over ``[(score, features), ...]``, of the same objective."""
    cost = ops.relu if objective == "hinge" else ops.square
    return sum(whole_mean(cost(1.0 - ops.cast(fake, "float32"))) for fake, _ in fake_outputs)


def feature_matching_loss(real_outputs, fake_outputs):
    """Mean absolute difference of the discriminators' features, summed over their layers."""
    total = 0.0
    for (_, real), (_, fake) in zip(real_outputs, fake_outputs, strict=True):
        for real_layer, fake_layer in zip(real, fake, strict=True):
            difference = ops.cast(ops.stop_gradient(real_layer), "float32") - ops.cast(
                fake_layer, "float32"
            )
            total += whole_mean(ops.abs(difference))
    return total
