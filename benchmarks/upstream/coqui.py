"""Coqui's own XTTS: its checkpoint folder, read and written, and its results; needs coqui-tts."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
import TTS.tts.models.xtts as upstream
from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram
from TTS.tts.layers.xtts.dvae import DiscreteVAE
from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

from benchmarks.upstream.drawn import RATE, Arrays, draw_weights, draw_xtts, sound
from benchmarks.upstream.parity import CONDITIONING, REPETITION_PENALTY, TEXTS, Inputs
from myxtts.text.tokenizer import train_tokenizer
from myxtts.timing import FRAMES_PER_CODE, HOP_LENGTH

# Computed, or a second name of a weight.
LEFT_OUT = ("torch_spec", "discrete_loss", "gpt_inference", "gpt.wte")


class Sizes(NamedTuple):
    """Of the GPT and the DVAE; Coqui's decoder and speaker encoder have but one size."""

    layers: int
    channels: int
    heads: int
    codes: int = 1024
    text_tokens: int | None = None  # the vocabulary's own size when None
    max_audio_tokens: int = 605
    max_text_tokens: int = 402
    dvae_channels: int = 16
    dvae_blocks: int = 1


TINY = Sizes(2, 64, 4, 256, None, 110, 80, 32, 2)
XTTS_V2 = Sizes(30, 1024, 16, text_tokens=6681, dvae_channels=512, dvae_blocks=3)


def _load_audio(audio: str | np.ndarray, rate: int) -> torch.Tensor:
    """Samples ``(1, samples)`` of a file or an array, which have the rate already."""
    if not isinstance(audio, np.ndarray):
        audio = soundfile.read(audio, dtype="float32")[0]
    return torch.from_numpy(audio.copy())[None]


# Coqui's own reader needs torchaudio's binaries.
upstream.load_audio = _load_audio


def write_checkpoint(folder: Path, sizes: Sizes = TINY) -> tuple[upstream.Xtts, DiscreteVAE]:
    """Write the folder as ``hf download coqui/XTTS-v2`` gives it; return the torch models."""
    folder.mkdir(parents=True, exist_ok=True)
    config = _configuration(folder, sizes)
    model = upstream.Xtts(config)
    assign(model, draw_xtts(shapes(model)))
    torch.save({"model": model.state_dict(), "config": config}, folder / "model.pth")
    torch.save(model.mel_stats.clone(), folder / "mel_stats.pth")
    dvae = _make_dvae(sizes)
    assign(dvae, draw_weights(shapes(dvae)))
    spread_codebook(dvae, folder)
    torch.save(dvae.state_dict(), folder / "dvae.pth")
    config.save_json(str(folder / "config.json"))
    model.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
    # After saving: it gives the weights second names.
    model.eval()
    return model, dvae


def read_checkpoint(folder: Path) -> upstream.Xtts:
    """The model of a folder that :func:`write_checkpoint` wrote."""
    config = XttsConfig()
    config.load_json(str(folder / "config.json"))
    model = upstream.Xtts(config)
    model.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
    # The file is our own; its pickled configuration is more than Coqui's loader allows.
    content = torch.load(folder / "model.pth", weights_only=False, mmap=True)
    model.load_state_dict(content["model"])
    model.eval()
    return model


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of all that is learnt, under its keys."""
    return {
        key: tuple(value.shape)
        for key, value in module.state_dict().items()
        if not any(part in key for part in LEFT_OUT)
    }


def assign(module: torch.nn.Module, arrays: Arrays) -> None:
    """Set all that is learnt."""
    tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}
    module.load_state_dict(tensors, strict=False)


@torch.no_grad()
def spread_codebook(dvae: DiscreteVAE, folder: Path) -> None:
    """Let the entries lie where sounds do, as trained ones do: a random few would take all."""
    codebook = dvae.codebook.embed
    seconds = 1.1 * codebook.shape[1] * FRAMES_PER_CODE * HOP_LENGTH / RATE
    mel = _mel(folder)(torch.from_numpy(sound(seconds, 8))[None])
    codebook.copy_(dvae.encoder(mel)[0, :, : codebook.shape[1]])


@torch.no_grad()
def results(model: upstream.Xtts, dvae: DiscreteVAE, folder: Path, inputs: Inputs) -> Arrays:
    """Every quantity of :mod:`benchmarks.upstream.parity` as Coqui makes it."""
    latents, embedding = condition(model, inputs.references)
    ids = [_text_ids(model, text) for text in inputs.texts]
    codes = torch.cat([_speak(model, latents, row, inputs.steps) for row in ids])
    spoken = list(zip(ids, codes[:, None], strict=True))
    heard = torch.cat([speech_latents(model, latents, *pair) for pair in spoken])
    waveform = model.hifigan_decoder(heard[:1, : inputs.decoded], g=embedding)
    logits = [teacher_forced(model, latents, *pair) for pair in spoken]
    found = {
        "latents": latents,
        "speaker_embedding": embedding[..., 0],
        "text_ids": torch.cat(ids, 1)[0],
        "codes": codes,
        "gpt_latents": heard,
        "waveform": waveform[0, 0],
        "audio_codes": audio_codes(dvae, folder, inputs.clips),
        "text_logits": torch.cat([text for text, _ in logits], 1)[0],
        "audio_logits": torch.cat([audio for _, audio in logits]),
    }
    return {name: value.numpy() for name, value in found.items()}


def condition(model: upstream.Xtts, references: list) -> tuple:
    """Latents ``(1, 32, dim)`` and embedding ``(1, 512, 1)`` of files or arrays at 22.05 kHz."""
    return model.get_conditioning_latents(list(references), **CONDITIONING)


def speech_latents(model: upstream.Xtts, latents, ids, codes) -> torch.Tensor:
    """Latents ``(1, codes, dim)``: the second pass over the codes of ``Xtts.inference``."""
    samples = torch.tensor([codes.shape[1] * model.gpt.code_stride_len])
    lengths = torch.tensor([ids.shape[1]])
    return model.gpt(ids, lengths, codes, samples, cond_latents=latents, return_latent=True)


def teacher_forced(model: upstream.Xtts, latents, ids, codes) -> tuple:
    """Logits ``(1, text + 2, ids)`` and ``(1, codes + 1, audio codes)`` under given codes."""
    gpt, pad = model.gpt, torch.nn.functional.pad
    text = pad(pad(ids, (1, 0), value=gpt.start_text_token), (0, 1), value=gpt.stop_text_token)
    audio = pad(codes, (1, 0), value=gpt.start_audio_token)
    logits = gpt.get_logits(
        gpt.text_embedding(text) + gpt.text_pos_embedding(text),
        gpt.text_head,
        gpt.mel_embedding(audio) + gpt.mel_pos_embedding(audio),
        gpt.mel_head,
        prompt=latents,
    )
    return tuple(part.transpose(1, 2) for part in logits)


@torch.no_grad()
def audio_codes(dvae: DiscreteVAE, folder: Path, clips: list[np.ndarray]) -> torch.Tensor:
    """The DVAE's codes of all clips, one clip after the other."""
    mel = _mel(folder)
    mels = (mel(torch.from_numpy(clip)[None]) for clip in clips)
    return torch.cat([dvae.get_codebook_indices(item)[0] for item in mels])


def _mel(folder: Path) -> TorchMelSpectrogram:
    return TorchMelSpectrogram(mel_norm_file=str(folder / "mel_stats.pth"), sampling_rate=RATE)


def _text_ids(model: upstream.Xtts, text: str) -> torch.Tensor:
    return torch.tensor([model.tokenizer.encode(text.strip().lower(), lang="en")])


def _speak(model: upstream.Xtts, latents, ids, steps: int) -> torch.Tensor:
    """Greedy codes ``(1, steps)``; the stop code waits so long."""
    return model.gpt.generate(
        cond_latents=latents,
        text_inputs=ids,
        do_sample=False,
        num_beams=1,
        repetition_penalty=REPETITION_PENALTY,
        min_new_tokens=steps,
        max_new_tokens=steps,
    )


def _configuration(folder: Path, sizes: Sizes) -> XttsConfig:
    tokenizer = train_tokenizer([(text, "en") for text in TEXTS], 300)
    tokenizer.save(folder / "vocab.json")
    args = XttsArgs(
        gpt_layers=sizes.layers,
        gpt_n_model_channels=sizes.channels,
        gpt_n_heads=sizes.heads,
        gpt_number_text_tokens=sizes.text_tokens or tokenizer.vocab_size,
        gpt_start_text_token=tokenizer.start_id,
        gpt_stop_text_token=tokenizer.stop_id,
        gpt_num_audio_tokens=sizes.codes + 2,
        gpt_start_audio_token=sizes.codes,
        gpt_stop_audio_token=sizes.codes + 1,
        gpt_max_audio_tokens=sizes.max_audio_tokens,
        gpt_max_text_tokens=sizes.max_text_tokens,
        gpt_use_perceiver_resampler=True,
        decoder_input_dim=sizes.channels,
        tokenizer_file=str(folder / "vocab.json"),
    )
    return XttsConfig(model_args=args)


def _make_dvae(sizes: Sizes) -> DiscreteVAE:
    return DiscreteVAE(
        channels=80,
        positional_dims=1,
        num_tokens=sizes.codes,
        codebook_dim=sizes.dvae_channels,
        hidden_dim=sizes.dvae_channels,
        num_resnet_blocks=sizes.dvae_blocks,
        kernel_size=3,
        num_layers=2,
        use_transposed_convs=False,
    ).eval()
