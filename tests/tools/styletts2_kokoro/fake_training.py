"""A corpus of tones, and a singer in Kokoro's place who keeps the durations it is given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from myxtts.audio.io import write_audio
from tests.tools.kokoro.fakes import BandEmbedder, FakeBackend, fake_voices
from tests.tools.styletts2_kokoro.fake_hearing import RATE, FakeHearing, fake_map, tone
from tools.kokoro.voices import save_voice
from tools.styletts2_kokoro.config import TrainingConfig
from tools.styletts2_kokoro.voice_training import VoiceTrainer

SAMPLES_PER_FRAME = 600
CONFIG = TrainingConfig(
    epochs_projection=4, lr_projection=0.01, clips_per_epoch=2, align_every=2, device="cpu"
)
TEXTS = ("hellothereworld", "anotherlongtext", "somethingelsetosay", "thelastofthem", "andonemore")


class Singer(FakeBackend):
    """Each phoneme is a tone of its own under the voice's harmonics."""

    def waveform(self, tokens, style: torch.Tensor, durations=None) -> torch.Tensor:
        sung = super().waveform([1] * 64, style)
        if durations is None:
            durations = self.durations(tokens, style)
        frames = torch.repeat_interleave(torch.arange(len(durations)), durations)
        samples = torch.repeat_interleave(frames, SAMPLES_PER_FRAME)
        pitches = 300.0 + 150 * torch.tensor([0, *tokens, 0])[samples]
        phonemes = torch.sin(torch.cumsum(2 * torch.pi * pitches / 24_000, 0))
        times = -(-len(samples) // len(sung))
        return 0.1 * phonemes + sung.repeat(times)[: len(samples)]

    def durations(self, tokens, style: torch.Tensor) -> torch.Tensor:
        return torch.full((len(tokens) + 2,), 4)


def write_corpus(
    folder: Path, speakers=("",), texts=TEXTS, part: str = "train", seconds: float = 2.0
) -> Path:
    """Clips of tones, a pitch for each speaker; the corpus's folder."""
    lines = []
    for number, speaker in enumerate(speakers):
        for place, text in enumerate(texts):
            name = f"{speaker or 'clip'}_{place}.wav"
            audio = tone(110 * (1 + number) + 2 * place, seconds)
            (folder / part).mkdir(parents=True, exist_ok=True)
            write_audio(folder / part / name, audio, RATE)
            line = {"file_name": name, "text": text}
            lines.append(line | ({"speaker": speaker} if speaker else {}))
    write_lines(folder, lines, part)
    return folder


def write_lines(folder: Path, lines: list[dict], part: str = "train") -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / part / "metadata.jsonl").write_text(text, encoding="utf-8")


def trainer(folder: Path, config: TrainingConfig = CONFIG, **backend) -> VoiceTrainer:
    """A trainer of fakes; its voices are written to ``folder``."""
    voices = fake_voices()
    for name, voice in voices.items():
        save_voice(folder / "voices" / f"{name}.bin", voice)
    hearing, speaker_map = FakeHearing(), fake_map(voices=voices)
    return VoiceTrainer(
        Singer(**backend), BandEmbedder(), hearing, hearing, speaker_map, folder / "voices", config
    )


def state_of(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "last.pt", weights_only=True)


def same(one, other) -> bool:
    """Whether nested states are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


def voice_of(run: Path) -> np.ndarray:
    return torch.load(run / f"{run.name}.pt", weights_only=True).numpy()
