"""Rounding to int8 changes a trained model's predictions by less than was allowed."""

import numpy as np
import pytest

from benchmarks import decode_accuracy
from benchmarks.measuring import DEMO_CORPUS
from myxtts.data.formats import find_utterances
from myxtts.models.gpt import GPT
from myxtts.models.xtts import XTTS
from myxtts.presets.finding import has_shipped_preset, shipped_preset

pytest.importorskip("numba", reason="numba, of the int8 engine, is not installed")


def test_one_code_at_a_time_is_the_whole_at_once():
    """Of a random model; figures of nothing but rounding are small, and are not nothing."""
    gpt = GPT(2, 32, 4, 50, 40, 80, 60, start_text_token=48, stop_text_token=0)
    gpt.build()
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(1, 4, 32)).astype("float32")
    codes = rng.integers(0, 60, 20).astype("int32")
    clip = decode_accuracy.Clip(rng.integers(1, 48, 9).astype("int32"), latents, codes)
    figures = decode_accuracy.accuracy(gpt, [clip, clip._replace(codes=codes[:7])])
    assert figures["codes"] == 21 + 8
    assert 0 < figures["logits"] < 0.03
    assert 0 < figures["latents"] < 0.03
    assert 0 <= figures["kl"] < 0.001
    # Rounded once more nothing changes, so that what is left is arithmetic.
    assert decode_accuracy.accuracy(gpt, [clip])["latents"] < 1e-4


@pytest.mark.slow
@pytest.mark.skipif(not has_shipped_preset(), reason="this copy comes without a trained model")
def test_a_trained_model_predicts_nearly_the_same():
    model = XTTS.from_preset(shipped_preset())
    utterances = find_utterances(DEMO_CORPUS / "train")
    clips = decode_accuracy.some(model, utterances, 1000)
    figures = decode_accuracy.accuracy(model.gpt, clips)
    assert figures["codes"] >= 1000
    for name, aim in decode_accuracy.AIMS.items():
        assert abs(figures[name]) <= aim
