"""From recordings to a voice, by the commands of docs/sv2tts.md, on tones of two speakers."""

import importlib
import json
import shlex
import sys

import numpy as np
import pytest
import soundfile

from myxtts.audio.io import hum
from myxtts.flags import run

# Of the smallest models; the documented commands have none of them.
ENCODER = "--steps 2 --speakers_per_batch 2 --utterances_per_speaker 2 -v 0 -u 0 -s 2 -b 0"
SYNTHESIZER = (
    "-s 2 --schedule 2:1e-3:2:2 --embed-dims 12 --encoder-dims 8 --decoder-dims 6 --lstm-dims 10 "
    "--postnet-dims 8 --encoder-kernels 2 --postnet-kernels 2 --num-highways 1 --prenet-dims 8"
)
VOCODER = (
    "-s 2 --vocoder-steps 2 --vocoder-batch-size 2 --rnn-dims 16 --fc-dims 16 --compute-dims 8 "
    "--res-out-dims 8 --res-blocks 1 --heard 0"
)
HIFIGAN = (
    "-s 2 --hifigan-steps 2 --hifigan-batch-size 2 --initial-channels 8 --heard 1 "
    "--adversarial-start 1 --discriminators multi_resolution"
)
COMMANDS = f"""
encoder_preprocess.py DATASETS -d librispeech_other -n 1
encoder_train.py my_encoder DATASETS/SV2TTS/encoder {ENCODER}
synthesizer_preprocess_audio.py DATASETS --datasets_name LibriTTS --no_alignments -n 1
synthesizer_preprocess_embeds.py DATASETS/SV2TTS/synthesizer -e saved_models/my_encoder/encoder.pt -n 1
synthesizer_train.py my_synthesizer DATASETS/SV2TTS/synthesizer {SYNTHESIZER}
vocoder_preprocess.py DATASETS -s saved_models/my_synthesizer --cpu
vocoder_train.py my_vocoder DATASETS {VOCODER}
hifigan_train.py my_hifigan DATASETS --ground_truth {HIFIGAN}
convert_rtvc.py saved_models/my_vocoder --output vocoder.pt
demo_cli.py -e saved_models/my_encoder -s saved_models/my_synthesizer -v saved_models/my_hifigan
    --no_sound --reference-audio DATASETS/LibriTTS/train-clean-100/1/2/1_2_0.wav --seed 1 --json
demo_cli.py -e saved_models/my_encoder -s saved_models/my_synthesizer -v vocoder.pt --no_sound
    --reference-audio DATASETS/LibriTTS/train-clean-100/1/2/1_2_0.wav --seed 1 --output me.wav --json
"""  # noqa: E501


def write_tree(root, utterances: int = 3) -> None:
    """Some utterances each of two speakers, for the encoder and with texts."""
    for speaker in (1, 2):
        encoder = root / "LibriSpeech" / "train-other-500" / str(speaker) / "2"
        texts = root / "LibriTTS" / "train-clean-100" / str(speaker) / "2"
        encoder.mkdir(parents=True)
        texts.mkdir(parents=True)
        for number in range(utterances):
            wave, name = 0.5 * hum(2.3, 90 + 40 * speaker + number, 16_000), f"{speaker}_2_{number}"
            soundfile.write(encoder / f"{name}.flac", wave, 16_000)
            soundfile.write(texts / f"{name}.wav", wave, 16_000)
            (texts / f"{name}.normalized.txt").write_text("Some words, said aloud.\n")


@pytest.mark.slow
def test_from_recordings_to_a_voice(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="torch writes the files of RTVC")
    pytest.importorskip("webrtcvad", reason="silences are found with webrtcvad")
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "DATASETS")
    for command in COMMANDS.replace("\n   ", "").strip().splitlines():
        program, *arguments = shlex.split(command)
        module = importlib.import_module(f"tools.sv2tts.{program.removesuffix('.py')}")
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        capsys.readouterr()
        code = run(module.main, module.parser())
        said = capsys.readouterr()
        with capsys.disabled():
            print(f"\n{program}: {code} {said.out.strip()[-300:]}")
        assert code == 0, said.err
    result = json.loads(said.out)
    wave, rate = soundfile.read("me.wav")
    assert (rate, result["sample_rate"], result["seed"]) == (16_000, 16_000, 1)
    assert len(wave) > 1000 and np.any(wave)
    assert result["text"] == "This is a deep learning sample"
