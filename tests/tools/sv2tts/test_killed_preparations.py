"""Each program that prepares data, killed in its midst: the same command again makes the same."""

import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sv2tts_files import write_models
from tests.tools.sv2tts.test_whole_chain import write_tree

TOOLS = Path(__file__).resolve().parents[3] / "tools" / "sv2tts"
DATA = "DATASETS/SV2TTS"
# Program and options, where its files go, and how many of them are there when it is killed.
ENCODER = f"encoder_preprocess.py DATASETS -d librispeech_other -n 1 -s -o {DATA}/encoder"
AUDIO = (
    "synthesizer_preprocess_audio.py DATASETS --datasets_name LibriTTS --no_alignments -n 1 -s "
    f"-o {DATA}/synthesizer"
)
EMBEDS = f"synthesizer_preprocess_embeds.py {DATA}/synthesizer -e models/encoder.pt -n 1"
MELS = (
    "vocoder_preprocess.py DATASETS -s models/synthesizer.pt --cpu --hparams synthesis_batch_size=1"
)
STEPS = [
    (ENCODER, f"{DATA}/encoder", 5),
    (AUDIO, f"{DATA}/synthesizer", 9),
    (EMBEDS, f"{DATA}/synthesizer/embeds", 3),
    (MELS, f"{DATA}/vocoder", 3),
]


def start(root: Path, command: str) -> subprocess.Popen:
    program, *arguments = shlex.split(command)
    call = [sys.executable, str(TOOLS / program), *arguments]
    return subprocess.Popen(call, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(root: Path, command: str) -> None:
    process = start(root, command)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()


def killed(root: Path, command: str, folder: str, files: int) -> None:
    """Kill the program once ``files`` files are there."""
    process = start(root, command)
    while process.poll() is None and len(arrays(root / folder)) < files:
        time.sleep(0.002)
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()


def arrays(folder: Path) -> list[Path]:
    return list(folder.rglob("*.npy"))


def contents(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    # What is dated, and the lock, are a run's own.
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if not name.endswith((".lock", "Log_LibriSpeech_train-other-500.txt"))
    }


@pytest.mark.slow
def test_killed_and_given_again_they_make_what_an_unbroken_run_makes(tmp_path):
    pytest.importorskip("torch", reason="torch writes the files of RTVC")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write_tree(whole / "DATASETS", utterances=8)
    write_models(whole / "models")
    shutil.copytree(whole, broken)
    for command, folder, files in STEPS:
        finish(whole, command)
        killed(broken, command, folder, files)
        before = len(arrays(broken / folder))
        assert files <= before < len(arrays(whole / folder)), command
        finish(broken, command)
        assert contents(broken / folder) == contents(whole / folder), command
