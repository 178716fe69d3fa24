"""``myxtts export`` as a user meets it, and what ``docs/serving.md`` says of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from myxtts.flags import run
from myxtts.models.xtts import XTTS
from myxtts.presets import finding
from myxtts.programs import export as tool
from myxtts.server.command import parser as server_parser
from myxtts.serving import export as exporting
from myxtts.serving.client.command import parser as client_parser
from myxtts.serving.warmup import FILE
from myxtts.text.phonemes import ALPHABET
from myxtts.text.tokenizer import character_tokenizer
from tests.conftest import hum
from tests.serving.loopback import serving
from tests.serving.test_warmup import SERVING, SIGNATURES

DOCS = Path(__file__).resolve().parents[2] / "docs" / "serving.md"
KEYS = {"output", "bytes", "signatures", "vocoder", "half", "languages", "ids_only"}
KEYS |= {"warmup_requests", "configuration", "checks"}
# Of the server, docker and curl's like.
FOREIGN_FLAGS = {
    "--rm",
    "--gpus",
    "--rawfile",
    "--model_config_file",
    "--rest_api_timeout_in_ms",
    "--enable_batching",
    "--batching_parameters_file",
    "--enable_per_model_batching_parameters",
    "--enable_model_warmup",
    "--speed",
}


def call(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["export_saved_model.py", *map(str, words)])
    try:
        return run(tool.main, tool.parser())
    except SystemExit as stop:
        return stop.code


@pytest.fixture
def quick(monkeypatch):
    """An export that takes no time and holds no graph; what it was asked for."""
    asked = {}

    def write(model, folder, vocoder, half=False):
        asked.update(model=model, vocoder=vocoder, half=half)
        extra = folder / "assets.extra"
        extra.mkdir(parents=True)
        about = SERVING | {"vocoder": vocoder, "half": half, "ids_only": ["ja", "zh-cn"]}
        (extra / "signatures.json").write_text(json.dumps(SIGNATURES))
        (extra / "serving.json").write_text(json.dumps(about))

    monkeypatch.setattr(exporting, "export_saved_model", write)
    return asked


@pytest.fixture
def judged(monkeypatch):
    """Checks that say what the test wants."""
    from myxtts.serving.check import run as check

    def judge(*verdicts: tuple[bool, str]) -> None:
        found = [check.Check(f"rule {place}", *item) for place, item in enumerate(verdicts)]
        monkeypatch.setattr(check, "check_export", lambda *given, **named: found)

    return judge


def test_an_export_is_ready_to_be_served(trained, quick, monkeypatch, capsys, tmp_path):
    output = tmp_path / "serving" / "my_xtts" / "1"
    assert call(monkeypatch, "--preset", trained.preset, "--output", output) == 0
    said = capsys.readouterr().out
    for words in ("languages    cs, de, en", "as ids only  ja, zh-cn", "weights in float32", " MB"):
        assert words in said
    assert (output / FILE).is_file()
    assert [path.name for path in output.parent.iterdir()] == ["1"]
    files = sorted(path.name for path in output.parents[1].iterdir())
    assert files == ["batching.config", "models.config", "my_xtts"]
    assert quick["vocoder"] in ("hifi", "griffin_lim")


def test_the_result_is_one_json_line(trained, quick, monkeypatch, capsys, tmp_path):
    words = ("--preset", trained.preset, "--output", tmp_path / "my_xtts" / "1", "--json")
    flags = ("--half", "--vocoder", "griffin_lim", "--no-warmup")
    assert call(monkeypatch, *words, *flags) == 0
    result = json.loads(capsys.readouterr().out)
    assert result.keys() == KEYS
    assert (result["half"], result["vocoder"], result["warmup_requests"]) == (
        True,
        "griffin_lim",
        0,
    )
    assert result["checks"] is None
    assert not (tmp_path / "my_xtts" / "1" / FILE).exists()


def test_warm_up_goes_as_far_as_the_batches(trained, quick, monkeypatch, capsys, tmp_path):
    (tmp_path / "batching.config").write_text("max_batch_size { value: 1 }")
    words = ("--preset", trained.preset, "--output", tmp_path / "my_xtts" / "1", "--json")
    assert call(monkeypatch, *words) == 0
    # One row alone, and a stream's two calls.
    assert json.loads(capsys.readouterr().out)["warmup_requests"] == len(SIGNATURES) + 1


def test_checks_are_told_and_passed(trained, quick, judged, monkeypatch, capsys, tmp_path):
    judged((True, "fine"))
    output = tmp_path / "my_xtts" / "1"
    assert call(monkeypatch, "--preset", trained.preset, "--output", output, "--check") == 0
    assert "check        passed  rule 0: fine" in capsys.readouterr().out
    assert output.is_dir()


def test_an_export_that_fails_a_check_is_not_served(
    trained, quick, judged, monkeypatch, capsys, tmp_path
):
    judged((True, "fine"), (False, "off by 2"))
    output = tmp_path / "my_xtts" / "1"
    words = ("--preset", trained.preset, "--output", output, "--check", "--json")
    assert call(monkeypatch, *words) == 1
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["checks"][1] == {"name": "rule 1", "passed": False, "detail": "off by 2"}
    assert "1 of 2 checks failed" in printed.err
    assert not list(tmp_path.glob("*/*")) + list(tmp_path.glob("*.config"))


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (("--preset", "P", "--output", "my_xtts/latest"), "a version number", 2),
        (("--preset", "P", "--output", "there/1"), "there/1 is there already", 1),
        (("--preset", "void", "--output", "my_xtts/1"), "void", 1),
        (("--preset", "P", "--output", "file/1"), "cannot write", 1),
        (("--preset", "P", "--output", "x/1", "--checkpoint", "f"), "--checkpoint is for", 2),
        (("--speaker-encoder", "coqui", "--output", "x/1", "--half"), "--half is for a preset", 2),
        (
            ("--speaker-encoder", "ecapa_tdnn", "--checkpoint", "absent.ckpt", "--output", "x/1"),
            "absent.ckpt",
            1,
        ),
        (("--output", "x/1"), "comes without its model", 1),
    ],
)
def test_bad_input_is_one_sentence(
    trained, quick, monkeypatch, capsys, tmp_path, words, message, status
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finding, "DATA_FILES", tmp_path)
    (tmp_path / "there" / "1").mkdir(parents=True)
    (tmp_path / "file").write_text("no folder")
    words = [trained.preset if word == "P" else word for word in words]
    assert call(monkeypatch, *words) == status
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob("**/.*")) + list(tmp_path.glob("*.config"))


def test_a_speaker_encoder_is_exported_alone(monkeypatch, capsys, tmp_path):
    pytest.importorskip("resemblyzer", reason="its weights are in the package")
    output = tmp_path / "resemblyzer" / "1"
    words = ("--speaker-encoder", "resemblyzer", "--output", output, "--json")
    assert call(monkeypatch, *words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result.keys() == KEYS
    assert result["signatures"] == ["speaker_embedding"]
    assert (result["languages"], result["warmup_requests"]) == ([], 2)
    assert (output / "saved_model.pb").is_file()


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A version that the tool wrote, with nothing left out."""
    output = tmp_path_factory.mktemp("serving") / "my_xtts" / "1"
    words = ["--preset", str(trained.preset), "--output", str(output), "--vocoder", "hifi"]
    tool.main(tool.parser().parse_args(words))
    return output


@pytest.mark.slow
def test_a_real_export_has_the_signatures_of_the_docs(exported):
    described = json.loads((exported / "assets.extra" / "signatures.json").read_text())
    tensors, signatures = documented()
    assert signatures.keys() - described.keys() == {"speaker_embedding"}
    for name, signature in described.items():
        for side, names in zip(("inputs", "outputs"), signatures[name], strict=True):
            found = {
                key: (item["dtype"], len(item["shape"])) for key, item in signature[side].items()
            }
            assert found == {key: tensors[key] for key in names}, name


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("jq"), reason="the REST examples need jq")
def test_the_rest_examples_work_as_they_stand(exported, recording):
    blocks = re.findall(r"```sh\n(.*?)```", section("REST"), re.S)
    script = "\n".join(["set -eo pipefail", *blocks[:-1]])
    with serving("rest", exported, "my_xtts") as port:
        run_example(
            ["bash", "-c", script.replace("localhost:8501", f"127.0.0.1:{port}")], recording
        )
    speech = json.loads((recording / "speech.json").read_text())["outputs"]
    assert np.shape(speech["waveform"]) == (1, speech["samples"][0])
    assert json.loads((recording / "state.json").read_text())["finished"] == [True]


@pytest.mark.slow
def test_the_grpc_example_works_as_it_stands(exported, recording):
    pytest.importorskip("tensorflow_serving", reason="gRPC needs the extra `serving`")
    (code,) = re.findall(r"```python\n(.*?)```", section("gRPC"), re.S)
    with serving("grpc", exported, "my_xtts") as port:
        code = code.replace("localhost:8500", f"127.0.0.1:{port}")
        run_example([sys.executable, "-c", code], recording)
    assert soundfile.info(recording / "speech.wav").samplerate == 24_000


@pytest.mark.slow
def test_a_model_of_letters_and_phonemes_passes_every_check(
    micro_config, monkeypatch, capsys, tmp_path
):
    tokenizer = character_tokenizer([("A year's cats, no?", "en")], 400)
    sizes = {"gpt": {"num_text_tokens": tokenizer.vocab_size}}
    model = XTTS(micro_config.merged({"model": sizes}), tokenizer)
    model.trained_steps = {"decoder": 1}
    model.save_to_preset(tmp_path / "preset")
    output = tmp_path / "spelled" / "1"
    words = ("--preset", tmp_path / "preset", "--output", output, "--vocoder", "hifi")
    assert call(monkeypatch, *words, "--check", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    (ids,) = [check for check in result["checks"] if check["name"] == "text ids"]
    assert "equal" in ids["detail"]
    about = json.loads((output / "assets.extra" / "serving.json").read_text(encoding="utf-8"))
    assert about["phonemes"] == ALPHABET
    assert about["defaults"]["front_end"] == "none"


@pytest.fixture
def recording(tmp_path):
    """A folder with the recording that the examples speak of."""
    clip = hum(1.5, 130, np.random.default_rng(0))
    soundfile.write(tmp_path / "speaker.wav", clip, 22_050)
    return tmp_path


def section(title: str) -> str:
    return DOCS.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def run_example(command: list[str], folder: Path) -> None:
    where = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": where, "PYTHONPATH": str(DOCS.parents[1])}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def documented() -> tuple[dict, dict]:
    """Of the tables: dtype and rank by tensor; input and output names by signature."""
    tensors, groups = {}, {}
    rows = re.findall(r"^\| (\w*) ?\| `(\w+)` \| (\w+) \| `\((.*)\)` \|", DOCS.read_text(), re.M)
    for group, name, dtype, shape in rows:
        tensors[name] = (dtype, len([axis for axis in shape.split(",") if axis.strip()]))
        groups.setdefault(group, []).append(name)
    signatures = {}
    for name, *sides in re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", DOCS.read_text(), re.M):
        if sides[0].startswith("--"):
            continue
        words = [side.replace("`", "").split(", ") for side in sides]
        signatures[name] = [
            {tensor for word in side for tensor in groups.get(word, [word])} for side in words
        ]
    return tensors, signatures


def requests() -> list[dict]:
    """Bodies of the REST examples."""
    return [
        json.loads(body)
        for body in re.findall(r"<<'EOF'\n(\{.*?\n?\})\nEOF", DOCS.read_text(), re.S)
    ]


def test_every_signature_has_an_example_of_the_right_shape():
    tensors, signatures = documented()
    bodies = {body["signature_name"]: body["inputs"] for body in requests()}
    assert bodies.keys() == signatures.keys()
    # What jq puts in, being long.
    put = {"latents", "speaker_embedding", "audio", "lengths"}
    state = {"ids", "id_lengths", "characters", "codes", "emitted"}
    for name, inputs in bodies.items():
        later = put | state if name == "stream_next" else put
        assert signatures[name][0] - later == inputs.keys() - later, name
        for key, value in inputs.items():
            assert len(value) == 1, key
            assert np.ndim(value) == tensors[key][1], key


def test_docs_name_only_flags_and_files_that_exist():
    text = DOCS.read_text()
    known = {
        flag
        for parser in (tool.parser(), client_parser(), server_parser())
        for action in parser._actions
        for flag in action.option_strings
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text)) - known <= FOREIGN_FLAGS
    for name in re.findall(r"(?:examples|tools)/[\w/.]+\.\w+", text):
        assert (DOCS.parents[1] / name).is_file(), name
    for code in re.findall(r"```python\n(.*?)```", text, re.S):
        compile(code, "docs/serving.md", "exec")
