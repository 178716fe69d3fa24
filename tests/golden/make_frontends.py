"""Write the golden twin of the mel front-ends: ``python -m tests.golden.make_frontends``.

Needs ``coqui-tts``, torch and ``resemblyzer``. Every mel comes from the function its
upstream itself calls, every resampled clip from torchaudio.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from resemblyzer.audio import wav_to_mel_spectrogram
from torchaudio.functional import resample
from TTS.encoder.models.resnet import ResNetSpeakerEncoder
from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram
from TTS.tts.models.xtts import wav_to_mel_cloning

from myxtts.audio.io import read_audio

COMMAND = "python -m tests.golden.make_frontends"
TARGET = Path(__file__).with_name("frontends.npz")
SPEECH = Path(__file__).parents[2] / "examples" / "demo_corpus" / "train" / "af_heart_07.ogg"
SAMPLES = 9_001
RATES = [(22_050, 16_000), (24_000, 22_050), (44_100, 22_050), (48_000, 16_000)]


def clips() -> dict[str, np.ndarray]:
    """A chirp in noise and a piece of speech, int16 ``(samples,)``."""
    time = np.arange(SAMPLES) / 22_050
    noise = np.random.default_rng(0).normal(size=SAMPLES)
    chirp = 0.5 * np.sin(2 * np.pi * (100 * time + 9_000 * time**2)) + 0.01 * noise
    speech, rate = read_audio(SPEECH)
    start = rate // 2
    sounds = {"chirp": chirp, "speech": speech[start : start + SAMPLES]}
    return {name: np.round(sound * 32_767).astype("int16") for name, sound in sounds.items()}


@torch.no_grad()
def coqui_conditioning(audio: torch.Tensor) -> np.ndarray:
    ones = torch.ones(80)
    sizes = {"n_fft": 2048, "hop_length": 256, "win_length": 1024}
    return wav_to_mel_cloning(audio[None], mel_norms=ones, **sizes)[0].T.numpy()


@torch.no_grad()
def coqui_dvae(audio: torch.Tensor) -> np.ndarray:
    return TorchMelSpectrogram(mel_norm_file=None)(audio[None])[0].T.numpy()


@torch.no_grad()
def coqui_speaker(audio: torch.Tensor) -> np.ndarray:
    settings = {
        "fft_size": 512,
        "win_length": 400,
        "hop_length": 160,
        "sample_rate": 16_000,
        "preemphasis": 0.97,
        "num_mels": 64,
    }
    encoder = ResNetSpeakerEncoder(
        layers=[1, 1, 1, 1],
        num_filters=[8, 8, 8, 8],
        log_input=True,
        use_torch_spec=True,
        audio_config=settings,
    )
    return (encoder.torch_spec(audio[None]) + 1e-6).log()[0].T.numpy()


def resemblyzer(audio: torch.Tensor) -> np.ndarray:
    return wav_to_mel_spectrogram(audio.numpy())


FRONTENDS = {
    "conditioning": coqui_conditioning,
    "dvae": coqui_dvae,
    "coqui_speaker": coqui_speaker,
    "resemblyzer": resemblyzer,
}


def main() -> None:
    arrays = {}
    for name, samples in clips().items():
        audio = torch.from_numpy(samples.astype("float32") / 32_768)
        arrays[f"audio/{name}"] = samples
        for kind, mel in FRONTENDS.items():
            arrays[f"mel/{kind}/{name}"] = mel(audio)
    short = torch.from_numpy(arrays["audio/speech"][:3_001].astype("float32") / 32_768)
    for old, new in RATES:
        arrays[f"resampled/{old}/{new}"] = resample(short, old, new).numpy()
    np.savez_compressed(TARGET, command=COMMAND, **arrays)
    print(TARGET, TARGET.stat().st_size)


if __name__ == "__main__":
    main()
