"""Kokoro's decoder with a gradient: text features, pitch and energy to samples.

``kokoro.istftnet`` computes the harmonic source (sines at the pitch and its
multiples, after NSF, Wang et al. 2019, https://arxiv.org/abs/1904.12088) without
a gradient and with fresh noise. Here the same layers are called with noise that
a seed decides, and the source may carry the pitch's gradient.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn import functional

# Devices on which layers may run in half precision.
AUTOCAST = ("cpu", "cuda")


def decode(
    decoder: torch.nn.Module,
    text: torch.Tensor,
    pitch: torch.Tensor,
    energy: torch.Tensor,
    style: torch.Tensor,
    source: torch.Tensor,
) -> torch.Tensor:
    """Samples ``(batch, 600 * frames)``.

    Args:
        decoder: ``KModel.decoder``.
        text: features ``(batch, 512, frames)``.
        pitch: in Hz, ``(batch, 2 * frames)``.
        energy: ``(batch, 2 * frames)``.
        style: decoder half, ``(batch, 128)``.
        source: spectrum of the harmonic source, ``(batch, 22, steps)``.
    """
    curves = [decoder.F0_conv(pitch[:, None]), decoder.N_conv(energy[:, None])]
    extras = [decoder.asr_res(text), *curves]
    hidden = decoder.encode(torch.cat([text, *curves], dim=1), style)
    for block in decoder.decode:
        # The last block doubles the rate; all take the features at the frame rate.
        hidden = block(torch.cat([hidden, *extras], dim=1), style)
    return _generate(decoder.generator, hidden, style, source)


def source_spectrum(
    generator: torch.nn.Module, pitch: torch.Tensor, seed: int, gradient: bool = True
) -> torch.Tensor:
    """Magnitudes and phases ``(batch, 22, steps)`` of the harmonic source.

    Args:
        generator: ``KModel.decoder.generator``.
        pitch: in Hz, ``(batch, curve)``.
        seed: of the noise; every row of a batch gets the same noise as it would alone.
        gradient: whether the pitch's gradient goes through the sines.
    """
    with _in_float32(pitch.device), torch.set_grad_enabled(gradient and torch.is_grad_enabled()):
        samples = _source(generator, pitch.float(), seed)
        return torch.cat(generator.stft.transform(samples), dim=1)


def _in_float32(device: torch.device) -> AbstractContextManager:
    """In half precision the phases, summed over the whole text, would be noise."""
    if device.type in AUTOCAST:
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _source(generator: torch.nn.Module, pitch: torch.Tensor, seed: int) -> torch.Tensor:
    """Samples ``(batch, samples)`` of sines where voiced, noise elsewhere."""
    module, settings = generator.m_source, generator.m_source.l_sin_gen
    curve = generator.f0_upsamp(pitch[:, None]).transpose(1, 2)
    phases, noise = _draw(curve.shape[1], settings.dim, seed, curve.device)
    voiced = (curve > settings.voiced_threshold).float()
    sines = settings.sine_amp * _sines(settings, curve, phases)
    loudness = voiced * settings.noise_std + (1 - voiced) * settings.sine_amp / 3
    mixed = module.l_linear(sines * voiced + loudness * noise)
    return module.l_tanh(mixed).squeeze(2)


def _sines(
    settings: torch.nn.Module, curve: torch.Tensor, first_phases: torch.Tensor
) -> torch.Tensor:
    """Sines ``(batch, samples, harmonics)`` at the multiples of a pitch ``(batch, samples, 1)``."""
    harmonics = torch.arange(1, settings.dim + 1, device=curve.device)
    cycles = (curve * harmonics / settings.sampling_rate) % 1
    cycles = torch.cat([cycles[:, :1] + first_phases, cycles[:, 1:]], dim=1)
    # The phase is summed at a coarse rate, as the model was trained.
    scale = settings.upsample_scale
    coarse = _stretch(cycles, 1 / scale)
    phase = torch.cumsum(coarse, dim=1) * 2 * torch.pi
    return torch.sin(_stretch(phase * scale, scale))


def _stretch(signal: torch.Tensor, factor: float) -> torch.Tensor:
    """Interpolate ``(batch, samples, channels)`` along its samples."""
    lines = signal.transpose(1, 2)
    return functional.interpolate(lines, scale_factor=factor, mode="linear").transpose(1, 2)


def _draw(
    samples: int, harmonics: int, seed: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """First phases ``(1, harmonics)`` and noise ``(1, samples, harmonics)``.

    Drawn on the CPU, so that every device gets the same, and in the order in which
    kokoro draws: after ``torch.manual_seed(seed)`` it speaks the same samples.
    """
    generator = torch.Generator().manual_seed(seed)
    phases = torch.rand(1, harmonics, generator=generator)
    phases[:, 0] = 0
    # Torch draws other numbers for another memory layout; kokoro's has the samples innermost.
    noise = torch.empty(1, harmonics, samples).transpose(1, 2).normal_(generator=generator)
    return phases.to(device), noise.to(device)


def _generate(
    generator: torch.nn.Module, hidden: torch.Tensor, style: torch.Tensor, source: torch.Tensor
) -> torch.Tensor:
    """Upsample, add the source at each rate, and turn the spectrum into samples."""
    last = generator.num_upsamples - 1
    for index, upsample in enumerate(generator.ups):
        hidden = upsample(functional.leaky_relu(hidden, 0.1))
        if index == last:
            hidden = generator.reflection_pad(hidden)
        hidden = hidden + generator.noise_res[index](generator.noise_convs[index](source), style)
        first = index * generator.num_kernels
        blocks = generator.resblocks[first : first + generator.num_kernels]
        hidden = sum(block(hidden, style) for block in blocks) / generator.num_kernels
    spectrum = generator.conv_post(functional.leaky_relu(hidden)).float()
    bins = generator.post_n_fft // 2 + 1
    magnitude, phase = torch.exp(spectrum[:, :bins]), torch.sin(spectrum[:, bins:])
    return generator.stft.inverse(magnitude, phase).squeeze(1)
