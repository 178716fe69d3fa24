"""``tools/optimize_voice_embedding.py`` as a user meets it."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="the voice optimiser is torch's")

from myxtts.flags import run  # noqa: E402
from tests.tools.kokoro.fakes import BandEmbedder, FakeBackend, fake_voices  # noqa: E402
from tools import optimize_voice_embedding as tool  # noqa: E402
from tools.kokoro.voices import save_voice  # noqa: E402
from tools.kokoro_voice import embedders, optimizer  # noqa: E402
from tools.kokoro_voice.config import OptimizerConfig  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run the tool with a fake singer; returns exit code, stdout and stderr."""
    for name, voice in fake_voices().items():
        save_voice(tmp_path / "voices" / f"{name}.bin", voice)
    monkeypatch.setattr(optimizer, "open_backend", lambda *args: FakeBackend())
    monkeypatch.setattr(embedders, "_MAKERS", {"auto": lambda config, device: BandEmbedder()})
    monkeypatch.setattr(optimizer, "phonemize", lambda text, language: text)
    soundfile.write(tmp_path / "target.wav", tone(3.0), 24_000)
    monkeypatch.chdir(tmp_path)

    def called(*words):
        usual = [] if "--voices" in words else ["--voices", "voices"]
        monkeypatch.setattr("sys.argv", ["optimize_voice_embedding.py", *map(str, words), *usual])
        try:
            code = run(tool.main, tool.parser())
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return called


def tone(seconds: float, gain: float = 0.3) -> np.ndarray:
    return gain * np.sin(2 * np.pi * 150 * np.arange(int(24_000 * seconds)) / 24_000)


def documented(*more) -> list:
    words = "--target-audio target.wav --output-dir out --text hello --iterations 2"
    words += " --learning-rate 0.01 --n-variable-dims 256 --pca-components 256"
    return [*words.split(), "--gradient-method", "finite-diff", *more]


def test_the_documented_command_runs(call):
    code, out, _ = call(*documented("--device", "cpu"))
    assert code == 0
    assert "similarity of the best voice" in out
    assert Path("out/voice_best.pt").is_file()
    assert Path("out/optimization_history.json").is_file()


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
def test_a_device_that_is_not_there_is_one_sentence(call):
    code, _, err = call(*documented("--device", "cuda"))
    assert code == 2
    assert "there is no device 'cuda' on this machine" in err


def test_json_is_one_line_of_stable_keys(call):
    code, out, _ = call(*documented("--json"))
    assert code == 0
    assert set(json.loads(out)) == {
        "output_dir",
        "voice",
        "similarity_start",
        "similarity_best",
        "best_iteration",
        "iterations",
        "syntheses",
        "components",
        "seconds",
        "stopped",
        "embedder",
        "backend",
    }


def test_resume_goes_on(call):
    call(*documented())
    code, out, _ = call(*documented("--resume", "--iterations", "4", "--json"))
    assert (code, json.loads(out)["iterations"]) == (0, 4)


def test_analyze_prints_what_holds_and_draws(call):
    pytest.importorskip("sklearn", reason="principal components come from scikit-learn")
    code, out, _ = call("--analyze", "--output-dir", "out")
    assert code == 0
    assert "does not hold" in out
    assert Path("out/voices_pca.png").is_file()
    code, out, _ = call("--analyze", "--output-dir", "out", "--json")
    assert json.loads(out)["voices"] == 8


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--target-audio", "gone.wav"], 1, "no audio file gone.wav"),
        (["--target-audio", "silent.wav"], 1, "silent.wav is silent"),
        (["--target-audio", "short.wav"], 1, "short.wav lasts 0.2 s"),
        (["--target-audio", "bad/bad.pt"], 1, "bad.pt is not audio"),
        (["--voices", "bad"], 1, "bad/bad.pt cannot be read"),
        (["--voices", "nowhere"], 1, "no voices nowhere"),
        (["--text", "..."], 1, "has no phonemes"),
        (["--text", ""], 1, "has no phonemes"),
        (["--phonemes", "!"], 1, "has no phonemes"),
        (["--phonemes", "ñøß"], 1, "no phoneme that Kokoro knows"),
        (["--device", "abacus"], 2, "no device 'abacus'"),
        (["--device", "cpu:7"], 2, "no device 'cpu:7'"),
        (["--output-dir", "target.wav"], 1, "cannot write to the folder target.wav"),
        (["--embedder", "ear"], 2, "no embedder 'ear'"),
        (["--iterations", "0"], 2, "num_iterations must be at least 1"),
        (["--learning-rate", "nan"], 2, "learning_rate must be above 0 and finite, not nan"),
        (["--start", "nobody"], 2, "start is 'nobody'"),
        (["--resume"], 1, "nothing to resume"),
        (["--gradient-method", "guess"], 2, "invalid choice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_sentence(call, words, code, sentence):
    soundfile.write("silent.wav", np.zeros(48_000), 24_000)
    soundfile.write("short.wav", tone(0.2), 24_000)
    Path("bad").mkdir()
    Path("bad/bad.pt").write_bytes(b"not a voice")
    found, out, err = call(*documented(), *words)
    assert (found, out) == (code, "")
    last = err.strip().splitlines()[-1]
    assert sentence in last
    assert "Traceback" not in err


def test_without_a_target_the_way_out_is_named(call):
    code, _, err = call("--output-dir", "out")
    assert code == 2
    assert "--target-audio is missing" in err


def test_every_setting_has_a_flag():
    flags = tool.parser().format_help()
    for item in dataclasses.fields(OptimizerConfig):
        assert "--" + item.metadata.get("flag", item.name).replace("_", "-") in flags


def test_the_torch_side_needs_neither_tensorflow_nor_keras():
    code = (
        "import sys; import tools.optimize_voice_embedding, tools.kokoro_voice.optimizer,"
        "tools.kokoro_voice.analysis, tools.kokoro.resemblyzer_embedder;"
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_start_may_be_what_the_map_says(call, monkeypatch):
    from tools.styletts2_kokoro.one_pass import VoiceMaker

    class Maker:
        def voice(self, references):
            assert references == ["target.wav"]
            return fake_voices()["v3_a"]

    opened = []
    monkeypatch.setattr(
        VoiceMaker, "open", classmethod(lambda cls, config: opened.append(config) or Maker())
    )
    code, out, _ = call(*documented("--start", "map", "--json"))
    assert code == 0
    assert opened[0].voices == "voices"
    from_map = json.loads(out)["similarity_start"]
    code, out, _ = call(*documented("--start", "v3_a", "--json"))
    assert json.loads(out)["similarity_start"] == from_map
