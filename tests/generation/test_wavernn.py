"""Speaking with a WaveRNN: RTVC's classes and waves, and a kernel that says the same."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from myxtts.errors import AudioError, ConfigError
from myxtts.generation.wavernn import KernelEngine, ModelEngine, draws, finished, generate
from tests.models.test_wavernn import channels_last, from_arrays, tiny_model
from tests.sv2tts_fixtures import fixture, weights

pytest.importorskip("numba", reason="numba is not installed")

ROOT = Path(__file__).resolve().parents[2]


class Recorder:
    """An engine that keeps what another one said."""

    def __init__(self, engine):
        self.engine, self.sizes, self.said = engine, engine.sizes, None

    def conditions(self, *args):
        return self.engine.conditions(*args)

    def speak(self, *args):
        self.said = self.engine.speak(*args)
        return self.said


@pytest.mark.parametrize("name", ["unbatched", "batched"])
@pytest.mark.parametrize("kind", [ModelEngine, KernelEngine])
def test_generation_says_rtvcs_classes(name, kind):
    arrays = fixture(f"wavernn_generate_{name}")
    batched, target, overlap, _ = arrays["in/batched_target_overlap_mulaw"].tolist()
    engine = Recorder(kind(from_arrays(weights(arrays))))
    wave = generate(
        engine,
        channels_last(arrays["in/mels"])[0],
        batched=bool(batched),
        target=target or 8000,
        overlap=overlap,
        uniforms=arrays["in/uniform"][..., None],
    )
    np.testing.assert_array_equal(engine.said, arrays["out/class"])
    np.testing.assert_allclose(wave, arrays["out/wave"], atol=1e-4 * np.abs(wave).max())


def test_other_draws_give_other_classes():
    arrays = fixture("wavernn_generate_unbatched")
    engine = Recorder(ModelEngine(from_arrays(weights(arrays))))
    mel = channels_last(arrays["in/mels"])[0]
    generate(engine, mel, batched=False, uniforms=1 - arrays["in/uniform"][..., None])
    assert (engine.said != arrays["out/class"]).mean() > 0.5


def test_posteriors_are_rtvcs_when_its_classes_are_fed_back():
    arrays = fixture("wavernn_generate_batched")
    model, said = from_arrays(weights(arrays)), arrays["out/class"]
    engine = ModelEngine(model)
    starts = np.arange(5) * 71
    conditions = engine.conditions(channels_last(arrays["in/mels"])[0], starts, 82)
    zeros = np.zeros((1, 10), "float32")
    mels = np.concatenate([conditions.mels, zeros])
    features = np.concatenate([conditions.features, np.zeros((1, 16), "float32")])
    states, last = (np.zeros((5, 24), "float32"),) * 2, np.zeros(5, "float32")
    for step in range(82):
        (place,) = conditions.places(step, step + 1)
        frame = conditions.frames(place)
        logits, states = model.step(last, mels[place], features[frame], states)
        chances = np.exp(logits - np.max(logits, 1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        np.testing.assert_allclose(chances, arrays["out/posterior"][step], atol=2e-5)
        last = (2 * said[step] / 511 - 1).astype("float32")


@pytest.mark.parametrize("mode", ["RAW", "MOL"])
@pytest.mark.parametrize("batched", [True, False])
def test_kernel_says_what_the_model_says(mode, batched):
    model = tiny_model(mode)
    mel = np.random.default_rng(0).uniform(-1, 1, (20, 5)).astype("float32")
    waves = [
        generate(engine, mel, batched=batched, target=10, overlap=4, seed=3)
        for engine in (ModelEngine(model), KernelEngine(model))
    ]
    assert np.abs(waves[0]).max() > 0
    np.testing.assert_allclose(waves[1], waves[0], atol=1e-4 * np.abs(waves[0]).max())


def test_features_left_over_are_heard_by_nobody():
    """Of a width that is no multiple of four, by the whole model, a step of it, and the kernel."""
    model = tiny_model(res_out_dims=10)
    assert model.fc1.kernel.shape[0] == model.sizes.rnn_dims + 2
    mel = np.random.default_rng(0).uniform(-1, 1, (20, 5)).astype("float32")
    given = [generate(engine(model), mel, seed=3, target=10, overlap=4)
             for engine in (ModelEngine, KernelEngine)]  # fmt: skip
    last = model.resnet.conv_out
    kernel, bias = (np.array(item) for item in last.weights)
    kernel[..., 8:], bias[8:] = 9, 9
    last.set_weights([kernel, bias])
    given += [generate(KernelEngine(model), mel, seed=3, target=10, overlap=4)]
    for wave in given[1:]:
        np.testing.assert_allclose(wave, given[0], atol=1e-4 * np.abs(given[0]).max())
    samples = np.zeros((1, 12), "float32")
    assert model((samples, mel[None, :4]), training=False).shape[:2] == (1, 12)


@pytest.mark.parametrize(("kind", "bound"), [("int16", 0.003), ("int8", 0.03)])
def test_integers_lose_only_their_rounding(kind, bound):
    """Of a mixture, whose samples move with the numbers behind them."""
    model = tiny_model("MOL")
    mel = np.random.default_rng(0).uniform(-1, 1, (10, 5)).astype("float32")
    said = []
    for engine in (KernelEngine(model), KernelEngine(model, kind)):
        conditions = engine.conditions(mel, np.zeros(7, "int64"), 4)
        said.append(engine.speak(conditions, draws(model.sizes, (4, 7), 0)))
    assert 0 < np.abs(said[1] - said[0]).max() < bound * np.abs(said[0]).max()


def check_products():
    """Of every form: integers to the bit, whatever the processor makes of them."""
    from myxtts.generation.wavernn_forms import FORMS, packed, rooms
    from myxtts.generation.wavernn_kernel import prepared, product

    rng = np.random.default_rng(0)
    for kind, form in FORMS.items():
        for folds, outputs, width in ((1, 5, 3), (8, 40, 12), (11, 64, 7), (19, 33, 70)):
            weights = rng.integers(-127, 128, (outputs, width))
            inputs = rng.integers(-127, 128, (folds, width))
            # An integer each, so that nothing is rounded.
            inputs[:, 0] = 127
            sizes, shifts = np.ones(folds, "float32"), np.zeros(folds, form.sums)
            held, room = rooms(kind, folds, (width,))
            scales, results = np.full(outputs, 0.5, "float32"), np.empty((folds, outputs), "f4")
            vectors = prepared_by(prepared)(inputs.astype("float32"), held, sizes, shifts, 127)
            panels = packed(weights.astype(kind))
            product(panels, scales, vectors, sizes, shifts, room, results)
            np.testing.assert_array_equal(results, (inputs @ weights.T / 2).astype("float32"))


def prepared_by(overloaded):
    """``overloaded`` to be called from Python."""
    from numba import njit

    return njit(lambda *given: overloaded(*given))


def test_product_is_a_product():
    check_products()


@pytest.mark.slow
def test_product_without_this_processors_instructions():
    """As a processor without AVX-512, and one without its products of bytes, would make it."""
    from llvmlite import binding

    has = binding.get_host_cpu_features()
    for missing in ("avx512", "avx512vnni"):
        kept = [name for name, on in has.items() if on and not name.startswith(missing)]
        lacked = [name for name in has if name not in kept]
        told = [f"+{name}" for name in kept] + [f"-{name}" for name in lacked]
        given = {"NUMBA_CPU_NAME": binding.get_host_cpu_name()}
        given["NUMBA_CPU_FEATURES"] = ",".join(told)
        code = "from tests.generation.test_wavernn import check_products; check_products()"
        subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | given, cwd=ROOT)


def test_same_seed_same_wave():
    model = tiny_model()
    mel = np.zeros((6, 5), "float32")
    first, again, other = (
        generate(KernelEngine(model), mel, target=10, overlap=4, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("frames", [2, 11, 20, 21])
def test_short_mels_are_spoken(frames):
    wave = generate(
        KernelEngine(tiny_model()), np.zeros((frames, 5), "float32"), target=9, overlap=2
    )
    assert len(wave) == (frames - 1) * 6
    assert wave[-1] == 0


@pytest.mark.parametrize(
    ("shape", "told"), [((1, 5), "no sound"), ((0, 5), "no sound"), ((9, 4), "wants mels of 5")]
)
def test_what_is_no_mel_is_refused(shape, told):
    with pytest.raises(AudioError, match=told):
        generate(ModelEngine(tiny_model()), np.zeros(shape, "float32"))


def test_folds_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="cannot be"):
        generate(ModelEngine(tiny_model()), np.zeros((9, 5), "float32"), target=0)


def test_honest_waves_begin_at_once_and_keep_their_level():
    sizes = tiny_model().sizes
    said = np.full((3, 40), 12.0)
    honest = finished(said, sizes, 100, 10, True, True)
    original = finished(said, sizes, 100, 10, True, False)
    assert honest[0] > 0.1
    assert original[0] == 0
    assert np.abs(original[30:40]).min() < 0.9 * np.abs(honest[30:40]).min()


def test_without_numba_a_sentence_names_the_extra(monkeypatch):
    model = tiny_model()
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in ("kernel", "forms"):
        module = f"myxtts.generation.wavernn_{name}"
        monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.delattr(module, raising=False)
    with pytest.raises(ConfigError, match=r"needs numba .*pip install '\.\[int8\]'"):
        KernelEngine(model)
