"""The chunks of a stream over plain requests, joined, are the whole."""

import numpy as np
import pytest
import tensorflow as tf

from myxtts.serving.graph.stream import GraphStream
from myxtts.serving.graph.synthesizer import GraphSpeaker
from tests.serving.graph.test_synthesizer import (  # noqa: F401
    TEXTS,
    clips,
    model,
    options,
    stacked,
    synthesizer,
    texts,
    voices,
)


@pytest.mark.parametrize("temperature", [0.0, pytest.param(0.9, marks=pytest.mark.slow)])
def test_chunks_joined_are_the_whole(model, voices, temperature):  # noqa: F811
    speaker = GraphSpeaker(model, "hifi")
    stream = GraphStream(speaker)
    ids, lengths, characters = texts(model)
    own = options(len(TEXTS), temperature=temperature)
    request = (ids, lengths, stacked(voices), own, characters)
    whole = tf.function(speaker.speak, autograph=False)(*request)
    step = tf.function(stream.next, autograph=False, reduce_retracing=True)
    state, pieces = stream.start(ids), [[] for _ in TEXTS]
    for _ in range(20):
        result = step(*request, state, tf.constant(9))
        state = {name: result[name] for name in ("codes", "emitted")}
        for row, piece in enumerate(pieces):
            piece.append(result["waveform"][row, : int(result["samples"][row])])
        if np.all(result["finished"]):
            break
    assert len(pieces[0]) > 2
    for row, piece in enumerate(pieces):
        samples = int(whole["samples"][row])
        joined = np.concatenate(piece)
        assert len(joined) == samples
        np.testing.assert_allclose(joined, whole["waveform"][row, :samples], atol=1e-4)
