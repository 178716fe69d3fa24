"""Parity with the upstreams' modules, live and by golden files, and its negative twins."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.upstream.drawn import draw_weights
from myxtts.errors import WeightsError
from myxtts.generation.state import generate
from myxtts.weights import coqui_gpt
from tests.golden import cases

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
TOLERANCE = 1e-4


@pytest.fixture
def upstreams():
    """The packages that the live tests compare with."""
    pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
    pytest.importorskip("speechbrain", reason="speechbrain is not installed (make reference)")


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference over the reference's largest value."""
    return float(np.max(np.abs(ours - theirs)) / max(float(np.max(np.abs(theirs))), 1e-12))


def compare(case: cases.Case, ours: dict, theirs: dict) -> None:
    assert set(ours) == set(theirs)
    for name, expected in theirs.items():
        assert ours[name].shape == expected.shape, name
        if name in case.exact:
            np.testing.assert_array_equal(ours[name], expected, err_msg=name)
        else:
            assert relative_error(ours[name], expected) <= TOLERANCE, name


def golden(name: str) -> tuple[dict, dict, dict]:
    """Weights, inputs and outputs of a golden file."""
    with np.load(GOLDEN / f"{name}.npz") as archive:
        shapes = {key: tuple(shape) for key, shape in json.loads(str(archive["shapes"])).items()}
        inputs, outputs = (
            {key.removeprefix(kind): archive[key] for key in archive.files if key.startswith(kind)}
            for kind in ("input/", "output/")
        )
    return prune(name, draw_weights(shapes)), inputs, outputs


def prune(name: str, arrays: dict) -> dict:
    """The part of an upstream state that the case's module is."""
    if name == "hifigan":
        prefix = "waveform_decoder."
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    return arrays


@pytest.mark.parametrize("name", cases.CASES)
def test_equals_the_golden_outputs(name):
    case = cases.CASES[name]
    weights, inputs, outputs = golden(name)
    compare(case, case.run(weights, inputs), outputs)


def test_the_greedy_codes_are_worth_comparing():
    codes = golden("gpt")[2]["greedy"]
    assert (codes < cases.NUM_CODES).sum() >= 60
    assert len(set(codes.tolist())) >= 12


@pytest.mark.parametrize("name", cases.CASES)
def test_equals_the_upstreams_module(upstreams, name):
    from tests.golden import reference

    case = cases.CASES[name]
    module = reference.build(name)
    inputs = case.inputs(np.random.default_rng(2))
    weights = prune(name, reference.state(module))
    compare(case, case.run(weights, inputs), reference.run(name, module, inputs))


@pytest.mark.parametrize("length", [1, 2, 3, 40])
def test_short_and_long_latents_become_coquis_waveforms(upstreams, length):
    from tests.golden import reference

    case, module = cases.CASES["hifigan"], reference.build("hifigan")
    rng = np.random.default_rng(7)
    inputs = case.inputs(rng)
    inputs["latents"] = rng.normal(size=(2, length, 24)).astype("float32")
    weights = prune("hifigan", reference.state(module))
    compare(case, case.run(weights, inputs), reference.run("hifigan", module, inputs))


def test_generated_latents_equal_coquis_second_pass(upstreams):
    from tests.golden import reference

    module = reference.build("gpt")
    inputs = cases.CASES["gpt"].inputs(np.random.default_rng(3))
    gpt = cases.make_gpt()
    coqui_gpt.load(gpt, reference.state(module))
    text = inputs["text"][:1]
    spoken = generate(
        gpt,
        text,
        np.array([text.shape[1]]),
        inputs["latents"][:1],
        np.zeros((1, 40), "float32"),
        greedy=True,
    )
    length = int(spoken["lengths"][0])
    codes = np.array(spoken["codes"])[:, :length]
    theirs = reference.second_pass(module, inputs["latents"][:1], text, codes)
    assert length > 10
    assert theirs.shape[1] == length
    assert relative_error(np.asarray(spoken["latents"])[:, :length], theirs) <= TOLERANCE


def test_padded_rows_equal_coquis_singles(upstreams):
    from tests.golden import reference

    module = reference.build("gpt")
    inputs = cases.CASES["gpt"].inputs(np.random.default_rng(5))
    gpt = cases.make_gpt()
    coqui_gpt.load(gpt, reference.state(module))
    lengths = {"text": (13, 6), "codes": (8, 21)}
    ours = gpt(
        {
            "text_ids": inputs["text"],
            "text_lengths": np.array(lengths["text"]),
            "audio_codes": inputs["codes"],
            "code_lengths": np.array(lengths["codes"]),
            "conditioning_latents": inputs["latents"],
        }
    )
    for row in range(2):
        single = {name: value[row : row + 1] for name, value in inputs.items()}
        single |= {name: single[name][:, : lengths[name][row]] for name in lengths}
        theirs = reference.run("gpt", module, single)
        for name in ("text_logits", "audio_logits", "audio_latents"):
            size = theirs[name].shape[1]
            assert relative_error(np.asarray(ours[name])[row, :size], theirs[name][0]) <= TOLERANCE


@pytest.mark.parametrize("name", cases.CASES)
def test_a_missing_key_is_refused(name):
    weights, inputs, _ = golden(name)
    del weights[sorted(key for key in weights if key.endswith("weight"))[-1]]
    with pytest.raises((WeightsError, KeyError)):
        cases.CASES[name].run(weights, inputs)


@pytest.mark.parametrize("name", cases.CASES)
def test_an_unknown_key_is_refused(name):
    weights, inputs, _ = golden(name)
    prefix = "conditioning_encoder." if name == "conditioning" else ""
    weights[f"{prefix}surprise.weight"] = np.zeros(3)
    with pytest.raises(WeightsError, match="not used surprise"):
        cases.CASES[name].run(weights, inputs)


TRANSPOSED = {
    "dvae": "decoder.0.weight",
    "conditioning": "conditioning_perceiver.layers.0.0.to_q.weight",
    "gpt": "gpt.h.0.mlp.c_fc.weight",
    "hifigan": "conv_pre.weight",
    "resnet": "fc.weight",
    "ecapa": "fc.conv.weight",
}


@pytest.mark.parametrize("name", cases.CASES)
def test_a_transposed_kernel_is_refused(name):
    weights, inputs, _ = golden(name)
    key = TRANSPOSED[name]
    weights[key] = np.swapaxes(weights[key], 0, 1)
    with pytest.raises(WeightsError, match="shape"):
        cases.CASES[name].run(weights, inputs)


# Shapes cannot tell these from their transposes, only the outputs can.
SQUARE = {
    "dvae": "encoder.2.net.0.weight",
    "conditioning": "conditioning_encoder.attn.0.proj_out.weight",
    "gpt": "gpt.h.0.attn.c_proj.weight",
    "hifigan": "resblocks.0.convs1.0.{}",
    "resnet": "layer1.1.conv1.weight",
    "ecapa": "blocks.2.tdnn1.conv.conv.weight",
}


@pytest.mark.parametrize("name", cases.CASES)
def test_a_transposed_square_kernel_would_be_noticed(name):
    case = cases.CASES[name]
    weights, inputs, outputs = golden(name)
    key = SQUARE[name].format("parametrizations.weight.original1")
    assert weights[key].shape[0] == weights[key].shape[1]
    weights[key] = np.swapaxes(weights[key], 0, 1)
    with pytest.raises(AssertionError):
        compare(case, case.run(weights, inputs), outputs)


@pytest.mark.parametrize("name", cases.CASES)
def test_another_weight_would_be_noticed(name):
    case = cases.CASES[name]
    weights, inputs, outputs = golden(name)
    weights[TRANSPOSED[name]] = weights[TRANSPOSED[name]] * 1.05
    with pytest.raises(AssertionError):
        compare(case, case.run(weights, inputs), outputs)
