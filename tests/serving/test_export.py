"""An exported model runs without this package, and asks nothing foreign of its server."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from myxtts.audio.io import write_audio
from myxtts.config import SynthesisConfig
from myxtts.digests import check_sums
from myxtts.errors import CheckpointError
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.serving.check import session as c_session
from myxtts.serving.export import export_saved_model, foreign_operations
from myxtts.serving.signatures import ServingModule
from tests.conftest import hum
from tests.serving.doors import NAME, Served
from tests.serving.loopback import serving

ALONE = """
import sys
import numpy as np, tensorflow as tf
inputs = np.load(sys.argv[2])
served = tf.saved_model.load(sys.argv[1]).signatures
voice = served["condition"](
    audio=tf.constant(inputs["audio"]), lengths=tf.constant(inputs["lengths"])
)
names = ("ids", "id_lengths", "temperature", "top_k", "top_p", "repetition_penalty", "seed")
spoken = served["synthesize_ids"](**voice, **{name: tf.constant(inputs[name]) for name in names})
np.savez(sys.argv[3], **{name: value.numpy() for name, value in {**voice, **spoken}.items()})
print("myxtts" in sys.modules)
"""


@pytest.fixture(scope="module")
def model(trained):
    return XTTS.from_preset(trained.preset)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("my_xtts") / "1"
    export_saved_model(model, folder, "hifi")
    return folder


@pytest.fixture(scope="module")
def inputs(model):
    ids = np.array([model.tokenizer.encode("This is number 3.", "en")], "int32")
    return {
        "audio": hum(2.0, 130, np.random.default_rng(0))[None],
        "lengths": np.array([44_100], "int32"),
        "ids": ids,
        "id_lengths": np.array([ids.shape[1]], "int32"),
        "temperature": np.zeros(1, "float32"),
        "top_k": np.zeros(1, "int32"),
        "top_p": np.ones(1, "float32"),
        "repetition_penalty": np.full(1, 2.0, "float32"),
        "seed": np.zeros(1, "int64"),
    }


def test_a_process_without_the_package_speaks_the_same(model, exported, inputs, tmp_path):
    np.savez(tmp_path / "in.npz", **inputs)
    words = [exported, tmp_path / "in.npz", tmp_path / "out.npz"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False"
    found = np.load(tmp_path / "out.npz")
    module = ServingModule(model, "hifi")
    voice = module.speaker.condition(inputs["audio"], inputs["lengths"])
    names = inputs.keys() - {"audio", "lengths"}
    spoken = module.synthesize_ids(**voice, **{name: tf.constant(inputs[name]) for name in names})
    for name, value in {**voice, **spoken}.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)
    assert found["samples"][0] > 0


def test_every_operation_is_of_the_core(exported):
    assert foreign_operations(exported) == set()


def test_a_python_function_is_noticed(tmp_path):
    module = tf.Module()
    module.call = tf.function(
        lambda x: tf.py_function(lambda y: y, [x], "float32"),
        input_signature=[tf.TensorSpec((None,))],
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"x": module.call})
    assert "EagerPyFunc" in foreign_operations(tmp_path / "1")


def test_a_version_that_is_there_is_not_overwritten(model, exported):
    with pytest.raises(CheckpointError, match="there already"):
        export_saved_model(model, exported, "hifi")


def test_the_c_library_that_servers_use_speaks_the_same(model, exported, inputs, tmp_path):
    module = ServingModule(model, "hifi")
    expected = module.speaker.condition(inputs["audio"], inputs["lengths"])
    reference = {name: inputs[name] for name in ("audio", "lengths")}
    voice = in_c(exported, "condition", reference, tmp_path)
    compare(voice, expected)
    text = {name: value for name, value in inputs.items() if name not in reference}
    spoken = in_c(exported, "synthesize_ids", text | voice, tmp_path)
    compare(spoken, module.synthesize_ids(**{k: tf.constant(v) for k, v in (text | voice).items()}))


def in_c(folder, signature, inputs, tmp_path) -> dict:
    """Outputs of a signature from a process that never imports TensorFlow."""
    np.savez(tmp_path / "in.npz", **inputs)
    words = [c_session.__file__, folder, signature, tmp_path / "in.npz", tmp_path / "out.npz"]
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "False"
    return dict(np.load(tmp_path / "out.npz"))


def compare(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("door", [pytest.param("rest", marks=pytest.mark.slow), "grpc"])
def test_the_client_hears_what_the_model_says(model, exported, tmp_path, door):
    if door == "grpc":
        pytest.importorskip("tensorflow_serving", reason="gRPC needs the extra `serving`")
    clip = hum(2.0, 130, np.random.default_rng(0))
    write_audio(tmp_path / "voice.wav", clip, 22_050)
    settings = SynthesisConfig(temperature=0.0, retries=0, vocoder="hifi", max_characters=30)
    text = "This is number 3. And this clip is number 1."
    with serving(door, exported, NAME) as port:
        client = Served(door, port).client(settings=settings)
        voice = client.condition(tmp_path / "voice.wav")
        spoken = client.speak(text, voice)
        streamed = np.concatenate(list(client.stream(text, voice, first_codes=4, stream_codes=9)))
    here = Synthesizer(model, settings)
    expected = here.speak(text, here.condition([tmp_path / "voice.wav"]))
    assert spoken.flags == expected.flags
    np.testing.assert_allclose(spoken.waveform, expected.waveform, atol=1e-3)
    np.testing.assert_allclose(streamed, spoken.waveform, atol=1e-4)


@pytest.mark.slow
def test_float16_weights_take_half_the_room_and_speak_alike(model, exported, inputs, tmp_path):
    folder = tmp_path / "2"
    export_saved_model(model, folder, "hifi", half=True)
    assert stored_bytes(folder) <= 0.51 * stored_bytes(exported)
    assert foreign_operations(folder) == set()
    reference = {name: inputs[name] for name in ("audio", "lengths")}
    found = in_c(folder, "condition", reference, tmp_path)
    expected = in_c(exported, "condition", reference, tmp_path)
    for name, value in expected.items():
        assert 0 < np.abs(found[name] - value).max() < 0.01 * np.abs(value).max()
    here = {name: value.numpy() for name, value in module_condition(folder, reference).items()}
    compare(found, here)


def stored_bytes(folder) -> int:
    """What the weights take, without their names."""
    checkpoint = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes = checkpoint.get_variable_to_shape_map()
    kinds = checkpoint.get_variable_to_dtype_map()
    return sum(
        kind.size * int(np.prod(shapes[name])) for name, kind in kinds.items() if kind.is_floating
    )


def module_condition(folder, reference) -> dict:
    served = tf.saved_model.load(str(folder)).signatures
    return served["condition"](**{name: tf.constant(value) for name, value in reference.items()})


def test_every_file_has_its_hash(exported):
    files = [path.relative_to(exported) for path in exported.rglob("*") if path.is_file()]
    assert check_sums(exported, map(str, files)) == ["SHA256SUMS"]


def test_signatures_are_described_beside_the_graph(exported):
    described = json.loads((exported / "assets.extra" / "signatures.json").read_text())
    assert described.keys() == {
        *("serving_default", "clone", "clone_wav", "condition", "condition_wav"),
        *("synthesize_ids", "stream_start", "stream_next"),
    }
    text = described["serving_default"]["inputs"]["text"]
    assert (text["dtype"], text["shape"]) == ("string", [None])
    audio = described["condition"]["inputs"]["audio"]
    assert (audio["dtype"], audio["shape"]) == ("float32", [None, None])
