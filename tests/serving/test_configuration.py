"""The server's configuration names every exported model, and what was written by hand stays."""

from pathlib import Path

import pytest
import yaml

from myxtts.errors import ConfigError
from myxtts.serving.configuration import (
    BATCHING_TEXT,
    LARGEST_BATCH,
    configuration,
    largest_batch,
    version_folder,
    write_configuration,
)

MANIFEST = Path(__file__).resolve().parents[2] / "examples" / "serving" / "kubernetes.yaml"
# Fields of the server's BatchingParameters, whose messages are in no package.
WRAPPED = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")


def models(path: Path) -> dict[str, str]:
    """Base paths by name, as the server reads them."""
    name = "tensorflow_serving.config.model_server_config_pb2"
    messages = pytest.importorskip(name, reason="needs the extra `serving`")
    from google.protobuf import text_format

    parsed = text_format.Parse(path.read_text(), messages.ModelServerConfig())
    listed = parsed.model_config_list.config
    assert {item.model_platform for item in listed} == {"tensorflow"}
    return {item.name: item.base_path for item in listed}


def batching_message():
    """An empty message with the fields of the server's BatchingParameters."""
    pool = pytest.importorskip("google.protobuf.descriptor_pool", reason="comes with TensorFlow")
    from google.protobuf import descriptor_pb2, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="b.proto", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    number = file.message_type.add(name="Number")
    number.field.add(name="value", number=1, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    message = file.message_type.add(name="BatchingParameters")
    for place, name in enumerate(WRAPPED, start=1):
        message.field.add(
            name=name, number=place, type=11, type_name=".Number", label=kinds.LABEL_OPTIONAL
        )
    sizes = {"number": 6, "type": kinds.TYPE_INT64, "label": kinds.LABEL_REPEATED}
    message.field.add(name="allowed_batch_sizes", **sizes)
    pads = {"number": 7, "type": kinds.TYPE_BOOL, "label": kinds.LABEL_OPTIONAL}
    message.field.add(name="pad_variable_length_inputs", **pads)
    own = pool.DescriptorPool()
    own.Add(file)
    return message_factory.GetMessageClass(own.FindMessageTypeByName("BatchingParameters"))()


def test_both_files_are_written_beside_the_models_folder(tmp_path):
    written = write_configuration(tmp_path / "serving" / "my_xtts" / "1")
    root = tmp_path / "serving"
    assert written == [root / "models.config", root / "batching.config"]
    assert sorted(root.iterdir()) == sorted(written)
    assert models(root / "models.config") == {"my_xtts": "/models/my_xtts"}


def test_a_second_version_changes_nothing_and_a_second_model_is_added(tmp_path):
    write_configuration(tmp_path / "a" / "1")
    assert write_configuration(tmp_path / "a" / "2") == []
    assert write_configuration(tmp_path / 'b "c"' / "1") == [tmp_path / "models.config"]
    found = models(tmp_path / "models.config")
    assert found == {"a": "/models/a", 'b "c"': '/models/b "c"'}


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# no models yet\n",
        "model_config_list {}",
        'model_config_list: { config: { name: "x" base_path: "/x" model_platform: "tensorflow" } }',
        "# model_config_list { of old }\nmodel_config_list <\n  # name: 'my_xtts'\n>\n",
    ],
)
def test_what_was_written_by_hand_stays(tmp_path, before):
    path = tmp_path / "models.config"
    path.write_text(before)
    write_configuration(tmp_path / "my_xtts" / "1")
    after = path.read_text()
    added = after.index("  config {\n    name")
    end = added + len('  config {\n    name: "my_xtts"\n    base_path: "/models/my_xtts"\n')
    assert 'name: "my_xtts"' in after[added:end]
    for line in before.splitlines():
        assert line.split("{")[0] in after
    assert models(path)["my_xtts"] == "/models/my_xtts"
    assert len(models(path)) == 1 + before.count('"x"')


def test_a_file_that_lists_no_models_is_left_alone(tmp_path):
    path = tmp_path / "models.config"
    path.write_text("custom_model_config { }")
    with pytest.raises(ConfigError, match=r"models\.config has no model_config_list"):
        configuration(tmp_path / "my_xtts" / "1")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"models\.config is no text"):
        configuration(tmp_path / "my_xtts" / "1")


def test_batching_is_as_the_server_wants_it():
    from google.protobuf import text_format

    parsed = text_format.Parse(BATCHING_TEXT, batching_message())
    assert all(getattr(parsed, name).value > 0 for name in WRAPPED)
    assert parsed.max_batch_size.value == LARGEST_BATCH == parsed.allowed_batch_sizes[-1]
    assert sorted(parsed.allowed_batch_sizes) == list(parsed.allowed_batch_sizes)
    assert parsed.pad_variable_length_inputs


def test_the_largest_batch_is_that_of_the_file(tmp_path):
    folder = tmp_path / "my_xtts" / "1"
    assert largest_batch(folder) == LARGEST_BATCH
    text = "# max_batch_size { value: 9 }\nmax_batch_size: {\n  value: 3\n}\n"
    (tmp_path / "batching.config").write_text(text)
    assert largest_batch(folder) == 3
    write_configuration(folder)
    assert (tmp_path / "batching.config").read_text() == text


@pytest.mark.parametrize(
    "output", ["serving/my_xtts", "x/0", "x/-1", "x/1.5", "x/١", "/1", f"x/{2**63}"]
)
def test_an_output_without_a_version_is_refused(output):
    with pytest.raises(ConfigError, match=r"must end in the model's name and a version number"):
        version_folder(output)


def test_an_output_is_taken_as_the_shell_means_it(tmp_path, monkeypatch):
    (tmp_path / "my_xtts").mkdir()
    monkeypatch.chdir(tmp_path / "my_xtts")
    assert version_folder("7") == tmp_path / "my_xtts" / "7"
    assert version_folder("../other/7/").parent.name == "other"


def test_the_manifest_waits_for_the_model_and_mounts_its_configuration():
    parts = {item["kind"]: item for item in yaml.safe_load_all(MANIFEST.read_text())}
    assert parts.keys() == {"PersistentVolumeClaim", "Deployment", "Service"}
    deployment, service = parts["Deployment"]["spec"], parts["Service"]["spec"]
    assert deployment["replicas"] > 1
    (server,) = deployment["template"]["spec"]["containers"]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[name]["httpGet"] == {"path": "/v1/models/my_xtts", "port": "rest"}
    assert "--model_config_file=/models/models.config" in server["args"]
    assert server["volumeMounts"][0]["mountPath"] == "/models"
    ports = {item["name"]: item["containerPort"] for item in server["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    assert {item["targetPort"] for item in service["ports"]} == ports.keys()
    labels = deployment["template"]["metadata"]["labels"]
    assert service["selector"] == labels == deployment["selector"]["matchLabels"]
