"""Warm-up requests are what the server reads, and every signature of an export answers them."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from myxtts.errors import CheckpointError, ConfigError
from myxtts.models.xtts import XTTS
from myxtts.serving.check.session import CSession
from myxtts.serving.export import export_saved_model
from myxtts.serving.warmup import (
    FILE,
    MAX_RECORDS,
    SECONDS,
    prediction_log,
    warmup_requests,
    write_warmup,
)

SERVING = {
    "languages": ["cs", "de", "en"],
    "reference_rate": 22_050,
    "defaults": {
        "temperature": 0.75,
        "top_k": 50,
        "top_p": 0.85,
        "repetition_penalty": 2.0,
        "seed": 0,
    },
}


def tensor(kind: str, *axes: int | None) -> dict:
    return {"tensor": "x:0", "dtype": kind, "shape": [None, *axes]}


def described(**inputs: dict) -> dict:
    return {"inputs": inputs, "outputs": {}}


SIGNATURES = {
    "clone": described(
        text=tensor("string"),
        language=tensor("string"),
        audio=tensor("float32", None),
        lengths=tensor("int32"),
        top_k=tensor("int32"),
        seed=tensor("int64"),
    ),
    "stream_next": described(
        codes=tensor("int32", None),
        emitted=tensor("int32"),
        count=tensor("int32"),
        latents=tensor("float32", 4, 32),
    ),
    "speaker_embedding": described(audio=tensor("float32", None), lengths=tensor("int32")),
}


@pytest.fixture(scope="module")
def logs():
    name = "tensorflow_serving.apis.prediction_log_pb2"
    return pytest.importorskip(name, reason="needs the extra `serving`")


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving") / "my_xtts" / "1"
    export_saved_model(XTTS.from_preset(trained.preset), folder, "hifi")
    return folder


def read(folder, logs) -> list:
    """Requests of an export as the server reads them."""
    records = tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator()
    found = [logs.PredictionLog.FromString(record) for record in records]
    assert {log.WhichOneof("log_type") for log in found} == {"predict_log"}
    return [log.predict_log.request for log in found]


def arrays(request) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(value) for name, value in request.inputs.items()}


def extra(folder, name: str) -> dict:
    return json.loads((folder / "assets.extra" / f"{name}.json").read_text())


def test_the_server_reads_what_was_meant(tmp_path, logs):
    requests = warmup_requests(SIGNATURES, SERVING, (1, 4))
    path = write_warmup(tmp_path, requests, "my_xtts")
    assert list(path.parent.iterdir()) == [path]
    for (signature, inputs), found in zip(requests, read(tmp_path, logs), strict=True):
        assert found.model_spec.name == "my_xtts"
        assert found.model_spec.signature_name == signature
        assert arrays(found).keys() == inputs.keys()
        for name, value in arrays(found).items():
            meant = inputs[name]
            if meant.dtype == object:
                meant = np.array([item.encode() for item in meant], object)
            assert value.dtype == meant.dtype
            np.testing.assert_array_equal(value, meant, err_msg=name)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_messages_of_every_size_are_as_protobuf_writes_them(logs, size):
    own = prediction_log("m" * size, "s", {"x": np.zeros(size, "float32")})
    log = logs.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = "m" * size, "s"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros(size, "float32")))
    assert logs.PredictionLog.FromString(own) == log


def test_a_batch_takes_the_languages_by_turns():
    requests = warmup_requests({"clone": SIGNATURES["clone"]}, SERVING, (1, 4))
    assert [list(inputs["language"]) for _, inputs in requests] == [
        ["cs"],
        ["cs", "de", "en", "cs"],
    ]


def test_a_reference_is_no_silence_and_as_long_as_it_says():
    requests = dict(warmup_requests(SIGNATURES, SERVING, (2,)))
    for signature, rate in (("clone", 22_050), ("speaker_embedding", 16_000)):
        audio = requests[signature]["audio"]
        assert audio.shape == (2, SECONDS * rate)
        assert list(requests[signature]["lengths"]) == [audio.shape[1]] * 2
        assert 0.1 < np.abs(audio).max() < 1


def test_a_stream_is_begun_and_gone_on_with():
    requests = warmup_requests({"stream_next": SIGNATURES["stream_next"]}, SERVING, (1, 3))
    made = [inputs["codes"].shape for _, inputs in requests]
    assert made == [(1, 0), (1, 8), (3, 0), (3, 8)]
    assert requests[-1][1]["latents"].shape == (3, 4, 32)


def test_a_signature_that_nobody_knows_is_left_out(caplog):
    strange = SIGNATURES | {"echo": described(texts=tensor("string"))}
    assert {name for name, _ in warmup_requests(strange, SERVING, (1,))} == SIGNATURES.keys()
    assert "no warm-up for echo: its input texts" in caplog.text


def test_more_records_than_a_server_takes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no more than 1000"):
        write_warmup(tmp_path, [("x", {})] * (MAX_RECORDS + 1), "my_xtts")
    (tmp_path / "assets.extra").write_text("no folder")
    with pytest.raises(CheckpointError, match="cannot write"):
        write_warmup(tmp_path, [("x", {})], "my_xtts")


def replayed(folder, logs, serving: dict) -> dict[str, set[int]]:
    """Rows of the answers to an export's warm-up, by signature."""
    requests = warmup_requests(extra(folder, "signatures"), serving, (1, 3))
    write_warmup(folder, requests, "my_xtts")
    answered: dict[str, set[int]] = {}
    with CSession(folder) as session:
        for request in read(folder, logs):
            signature, inputs = request.model_spec.signature_name, arrays(request)
            outputs = session.run(signature, inputs)
            (rows,) = {len(value) for value in (*inputs.values(), *outputs.values())}
            answered.setdefault(signature, set()).add(rows)
    return answered


def test_a_session_answers_them_as_the_server_will(stand_in, tmp_path, logs):
    folder = shutil.copytree(stand_in, tmp_path / "1")
    answered = replayed(folder, logs, SERVING | {"languages": ["en", "zh-cn"]})
    known = extra(folder, "signatures").keys() - {"echo"}
    assert answered == dict.fromkeys(known, {1, 3})


@pytest.mark.slow
def test_every_signature_of_an_export_answers_them(exported, logs):
    answered = replayed(exported, logs, extra(exported, "serving"))
    assert answered == dict.fromkeys(extra(exported, "signatures"), {1, 3})
