"""The parity cases on the upstreams' own classes; needs coqui-tts, speechbrain and torch."""

from __future__ import annotations

import numpy as np
import torch
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from speechbrain.processing.features import InputNormalization
from TTS.encoder.models.resnet import ResNetSpeakerEncoder
from TTS.tts.layers.tortoise.autoregressive import ConditioningEncoder
from TTS.tts.layers.xtts.dvae import DiscreteVAE
from TTS.tts.layers.xtts.gpt import GPT
from TTS.tts.layers.xtts.hifigan_decoder import HifiDecoder
from TTS.tts.layers.xtts.perceiver_encoder import PerceiverResampler

from benchmarks.upstream.drawn import Arrays, draw_weights
from myxtts.audio.frontends import SPEECHBRAIN_ECAPA
from myxtts.config import ECAPAConfig
from tests.golden import cases


def build(name: str) -> torch.nn.Module:
    """The upstream's module of a case, its weights drawn as the case says."""
    module = BUILDERS[name]().eval()
    shapes = {key: tuple(value.shape) for key, value in state(module).items()}
    drawn = draw_weights(shapes)
    module.load_state_dict(
        {key: torch.from_numpy(np.asarray(value)) for key, value in drawn.items()}, strict=False
    )
    return module


def state(module: torch.nn.Module) -> Arrays:
    """The module's state dictionary, without computed buffers and second names of weights."""
    left_out = ("torch_spec", "discrete_loss", "gpt.wte", "gpt_inference")
    return {
        key: value.numpy()
        for key, value in module.state_dict().items()
        if not key.startswith(left_out)
    }


@torch.no_grad()
def run(name: str, module: torch.nn.Module, inputs: Arrays) -> Arrays:
    """Outputs of the upstream's module in this package's layout (channels last)."""
    tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
    return {key: value.numpy() for key, value in RUNNERS[name](module, tensors).items()}


@torch.no_grad()
def second_pass(
    module: torch.nn.Module, latents: np.ndarray, text: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    """Latents ``(1, codes, dim)`` as Coqui's synthesis has them: the GPT run over its codes again.

    ``Xtts.inference`` gives the length of the codes in samples, which become codes again.
    """
    samples = codes.shape[1] * module.code_stride_len
    return module(
        torch.from_numpy(text).long(),
        torch.tensor([text.shape[1]]),
        torch.from_numpy(codes).long(),
        torch.tensor([samples]),
        cond_latents=torch.from_numpy(latents),
        return_latent=True,
    ).numpy()


def _build_dvae() -> torch.nn.Module:
    sizes = cases.DVAE_SIZES
    return DiscreteVAE(
        channels=80,
        positional_dims=1,
        num_tokens=sizes["num_codes"],
        codebook_dim=sizes["codebook_dim"],
        hidden_dim=sizes["hidden_dim"],
        num_resnet_blocks=sizes["num_resnet_blocks"],
        kernel_size=3,
        num_layers=2,
        use_transposed_convs=False,
    )


class _Conditioning(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conditioning_encoder = ConditioningEncoder(80, 64, num_attn_heads=4)
        self.conditioning_perceiver = PerceiverResampler(
            dim=64, depth=2, dim_context=64, num_latents=32, dim_head=64, heads=8
        )


def _build_gpt() -> torch.nn.Module:
    gpt = GPT(
        **cases.GPT_SIZES,
        max_text_tokens=cases.MAX_TEXT,
        max_mel_tokens=cases.MAX_AUDIO,
        number_text_tokens=cases.TEXT_TOKENS,
        num_audio_tokens=cases.NUM_CODES + 2,
        start_audio_token=cases.NUM_CODES,
        stop_audio_token=cases.NUM_CODES + 1,
        use_perceiver_resampler=True,
        max_conditioning_inputs=1,
    )
    gpt.init_gpt_for_inference()
    gpt.gpt_inference.eval()
    return gpt


def _build_hifigan() -> torch.nn.Module:
    sizes = cases.HIFI_SIZES
    return HifiDecoder(
        decoder_input_dim=sizes["latent_dim"],
        d_vector_dim=sizes["speaker_dim"],
        upsample_initial_channel_decoder=sizes["initial_channels"],
    )


def _build_resnet() -> torch.nn.Module:
    sizes = cases.RESNET_SIZES
    return ResNetSpeakerEncoder(
        input_dim=64,
        proj_dim=sizes["embedding_dim"],
        layers=list(sizes["blocks"]),
        num_filters=list(sizes["channels"]),
        log_input=True,
        use_torch_spec=True,
        audio_config={
            "fft_size": 512,
            "win_length": 400,
            "hop_length": 160,
            "sample_rate": 16_000,
            "preemphasis": 0.97,
            "num_mels": 64,
        },
    )


def build_ecapa(sizes: ECAPAConfig) -> torch.nn.Module:
    """SpeechBrain's encoder of any size."""
    return ECAPA_TDNN(
        SPEECHBRAIN_ECAPA.n_mels,
        lin_neurons=sizes.embedding_dim,
        channels=list(sizes.channels),
        kernel_sizes=list(sizes.kernel_sizes),
        dilations=list(sizes.dilations),
        attention_channels=sizes.attention_dim,
        res2net_scale=sizes.res2net_scale,
        se_channels=sizes.squeeze_dim,
    )


def _run_dvae(module, tensors) -> dict:
    codes = module.get_codebook_indices(tensors["mel"].transpose(1, 2))
    return {"codes": codes, "mel": module.decode(codes)[0].transpose(1, 2)}


def _run_conditioning(module, tensors) -> dict:
    hidden = module.conditioning_encoder(tensors["mel"].transpose(1, 2)).transpose(1, 2)
    return {"hidden": hidden, "latents": module.conditioning_perceiver(hidden)}


def _run_gpt(module, tensors) -> dict:
    text = torch.nn.functional.pad(tensors["text"].long(), (1, 1), value=0)
    text[:, 0] = module.start_text_token
    codes = torch.nn.functional.pad(tensors["codes"].long(), (1, 0), value=module.start_audio_token)
    embedded_text = module.text_embedding(text) + module.text_pos_embedding(text)
    embedded_codes = module.mel_embedding(codes) + module.mel_pos_embedding(codes)
    parts = (embedded_text, module.text_head, embedded_codes, module.mel_head)
    text_logits, audio_logits = module.get_logits(*parts, prompt=tensors["latents"])
    _, latents = module.get_logits(*parts, prompt=tensors["latents"], return_latent=True)
    greedy = module.generate(
        tensors["latents"][:1],
        tensors["text"][:1].long(),
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
    )[0]
    return {
        "text_logits": text_logits.transpose(1, 2),
        "audio_logits": audio_logits.transpose(1, 2),
        "audio_latents": latents,
        "greedy": _padded(greedy, module.stop_audio_token),
    }


def _padded(codes: torch.Tensor, stop: int) -> torch.Tensor:
    fixed = torch.full((cases.GREEDY_STEPS,), stop, dtype=torch.int32)
    size = min(len(codes), cases.GREEDY_STEPS)
    fixed[:size] = codes[:size]
    return fixed


def _run_hifigan(module, tensors) -> dict:
    waveform = module(tensors["latents"], g=tensors["speaker"].unsqueeze(-1))
    return {"waveform": waveform[:, 0]}


def _run_resnet(module, tensors) -> dict:
    mel = (module.torch_spec(tensors["audio"]) + 1e-6).log()
    # The reference adds the channel axis in place, hence the copy.
    embedding = module.forward(tensors["audio"].clone(), l2_norm=True)
    return {"mel": mel.transpose(1, 2), "embedding": embedding}


def ecapa_features(audio: torch.Tensor) -> torch.Tensor:
    """Normalised filterbank energies of SpeechBrain's ``spkrec-ecapa-voxceleb``."""
    normalise = InputNormalization(norm_type="sentence", std_norm=False)
    return normalise(Fbank(n_mels=SPEECHBRAIN_ECAPA.n_mels)(audio), torch.ones(len(audio)))


def _run_ecapa(module, tensors) -> dict:
    features = ecapa_features(tensors["audio"])
    first = module.blocks[0](features.transpose(1, 2))
    return {
        "features": features,
        "first": first.transpose(1, 2),
        "block": module.blocks[1](first).transpose(1, 2),
        "pooled": module.asp(tensors["hidden"].transpose(1, 2))[:, :, 0],
        "embedding": module(features)[:, 0],
    }


BUILDERS = {
    "dvae": _build_dvae,
    "conditioning": _Conditioning,
    "gpt": _build_gpt,
    "hifigan": _build_hifigan,
    "resnet": _build_resnet,
    "ecapa": lambda: build_ecapa(cases.ECAPA_SIZES),
}
RUNNERS = {
    "dvae": _run_dvae,
    "conditioning": _run_conditioning,
    "gpt": _run_gpt,
    "hifigan": _run_hifigan,
    "resnet": _run_resnet,
    "ecapa": _run_ecapa,
}
