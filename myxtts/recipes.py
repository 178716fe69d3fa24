"""Named configurations, each given as its differences from the defaults.

The defaults are the sizes of Coqui's XTTS-v2, so ``xtts_v2`` only names what
its training recipe changes.
"""

from typing import Any

_TINY_MODEL: dict[str, Any] = {
    "dvae": {"hidden_dim": 128, "codebook_dim": 128, "num_codes": 512, "num_resnet_blocks": 2},
    "gpt": {
        "layers": 4,
        "model_dim": 192,
        "heads": 4,
        "num_text_tokens": 300,
        "max_text_tokens": 200,
        "max_audio_tokens": 320,
    },
    "conditioning": {
        "num_blocks": 2,
        "num_latents": 8,
        "perceiver_depth": 1,
        "perceiver_heads": 4,
        "perceiver_head_dim": 32,
    },
    "speaker": {"embedding_dim": 64, "blocks": [1, 1, 1, 1], "channels": [8, 16, 24, 32]},
    "decoder": {
        "initial_channels": 96,
        "resblock_kernels": [3, 7],
        "resblock_dilations": [1, 3],
    },
}

_SMALL_MODEL: dict[str, Any] = {
    "dvae": {"hidden_dim": 256, "codebook_dim": 256},
    "gpt": {"layers": 8, "model_dim": 384, "heads": 6, "num_text_tokens": 512},
    "conditioning": {"num_blocks": 4, "num_latents": 16},
    "speaker": {"embedding_dim": 256, "blocks": [2, 2, 2, 2], "channels": [16, 32, 64, 128]},
    "decoder": {"initial_channels": 192},
}

_NORMAL_MODEL: dict[str, Any] = {
    "gpt": {"layers": 16, "model_dim": 768, "heads": 12, "num_text_tokens": 2048},
}

# The voice in the box: small enough to be shipped, and to learn to read within hours on two cores.
_BASE_MODEL: dict[str, Any] = {
    "dvae": {
        "hidden_dim": 192,
        "codebook_dim": 256,
        "num_codes": 1024,
        "num_resnet_blocks": 2,
        # Pitch and vocal tract are the decoder's to know: the codes have room for what is said.
        "speaker_dim": 256,
    },
    "gpt": {
        "layers": 6,
        "model_dim": 256,
        "heads": 4,
        "num_text_tokens": 400,
        "max_text_tokens": 256,
        "max_audio_tokens": 320,
        "dropout": 0.0,
    },
    "conditioning": {
        "num_latents": 4,
        "perceiver_depth": 1,
        "perceiver_heads": 4,
        "perceiver_head_dim": 64,
    },
    "speaker": {"embedding_dim": 256},
    # Pitch from the first step on: minutes teach no network to make phases.
    "decoder": {"kind": "istft", "istft": {"source": "harmonic"}},
    "use_pretrained_speaker_encoder": True,
    "speaker_encoder_type": "resemblyzer",
}

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "model": _TINY_MODEL,
        "training": {
            "dvae": {"steps": 4000, "batch_size": 8, "learning_rate": 1e-3, "warmup_steps": 50},
            "gpt": {"steps": 1500, "batch_size": 8, "learning_rate": 1e-3, "warmup_steps": 100},
            "decoder": {"steps": 300, "batch_size": 4, "learning_rate": 1e-3, "warmup_steps": 20},
            # Minutes do not train discriminators: tiny learns the mel loss alone.
            "adversarial_start": 300,
            "validate_every": 250,
            "checkpoint_every": 250,
        },
    },
    "base": {
        "model": _BASE_MODEL,
        # Its corpus has the durations of hibari-tts and Kokoro.
        "data": {"vocabulary": "characters", "phoneme_share": 0.7, "duration_lag": 0.05},
        "synthesis": {
            "front_end": "hibari",
            "temperature": 0.4,
            "candidates": 4,
            "vocoder": "istft",
        },
        "training": {
            "dvae": {
                "steps": 4000,
                "batch_size": 24,
                "learning_rate": 1e-3,
                "warmup_steps": 100,
                "final_lr_fraction": 0.02,
            },
            "gpt": {
                "steps": 12_000,
                "batch_size": 32,
                "learning_rate": 1e-3,
                "warmup_steps": 200,
                "final_lr_fraction": 0.02,
            },
            "decoder": {
                "steps": 12_000,
                "batch_size": 4,
                "learning_rate": 5e-4,
                "warmup_steps": 100,
            },
            "batch_codes": 1600,
            # Four pieces each of few utterances: their latents are what a step of the GPT costs.
            "segments_per_utterance": 4,
            "mel_loss_weight": 20.0,
            "stft_loss_weight": 5.0,
            "speaker_loss_weight": 10.0,
            "discriminators": ["multi_resolution"],
            "discriminator_width": 0.25,
            "adversarial_start": 1500,
            "alignment_loss_weight": 0.3,
            "token_loss_weight": 0.3,
            "code_token_loss_weight": 0.1,
            "validate_every": 500,
            "checkpoint_every": 250,
        },
    },
    "small": {
        "model": _SMALL_MODEL,
        "training": {
            "dvae": {"steps": 20_000, "learning_rate": 5e-4},
            "gpt": {"steps": 50_000, "learning_rate": 3e-4},
            "decoder": {"steps": 100_000, "batch_size": 8, "learning_rate": 2e-4},
        },
    },
    "normal": {
        "model": _NORMAL_MODEL,
        "training": {
            "dvae": {"steps": 100_000, "batch_size": 32, "learning_rate": 3e-4},
            "gpt": {"steps": 300_000, "batch_size": 32, "learning_rate": 2e-4},
            "decoder": {"steps": 500_000, "learning_rate": 2e-4},
        },
    },
    "xtts_v2": {
        "training": {
            "gpt": {"batch_size": 4, "learning_rate": 5e-6, "steps": 50_000},
            "gradient_accumulation": 63,
        },
        "synthesis": {"repetition_penalty": 5.0},
    },
}

# What --init-from starts from: the recipe of Coqui's GPT trainer for XTTS-v2.
FINE_TUNING: dict[str, Any] = {
    "data": {
        "max_seconds": 11.6,
        "reference": "masked_prompt",
        "reference_min_seconds": 3.0,
        "reference_seconds": 6.0,
    },
    "training": {
        "stage": "gpt",
        "coqui_compatible": True,
        "gpt": {
            "steps": 1000,
            "batch_size": 3,
            "learning_rate": 5e-6,
            "warmup_steps": 0,
            "final_lr_fraction": 1.0,
        },
        "gradient_accumulation": 84,
        "validate_every": 100,
        "checkpoint_every": 100,
    },
}
