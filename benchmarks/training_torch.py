"""Coqui's side of ``benchmarks/training_coqui.py``: training steps in torch; needs coqui-tts.

The GPT's step is Coqui's own trainer's. Coqui has released none for the DVAE and the decoder of
XTTS, so the peers of these are put together from its classes: ``DiscreteVAE``'s own training
pass, and ``HifiDecoder`` under the discriminator, the losses and the optimizers of its HiFi-GAN,
in the order of its ``GAN.train_step``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from TTS.tts.layers.xtts.trainer.gpt_trainer import GPTArgs, GPTTrainer, GPTTrainerConfig
from TTS.tts.models.xtts import XttsAudioConfig
from TTS.vocoder.configs import HifiganConfig
from TTS.vocoder.layers.losses import DiscriminatorLoss, GeneratorLoss
from TTS.vocoder.models.hifigan_discriminator import HifiganDiscriminator

from benchmarks.training_material import CHECKPOINT, ROWS, SEGMENT_CODES, prompt_samples
from benchmarks.upstream.coqui import Sizes
from myxtts.timing import FRAMES_PER_CODE, HOP_LENGTH, MODEL_RATE, OUTPUT_RATE
from myxtts.training.stages.dvae import COMMITMENT_WEIGHT

# As the fine-tuning demo of coqui-tts sets it.
ADAMW = {"betas": [0.9, 0.96], "eps": 1e-8, "weight_decay": 1e-2}
RATE = 5e-6


class Coqui:
    """Losses and steps by stage.

    Args:
        folder: of :func:`benchmarks.training_material.write_material`.
        sizes: of the GPT: layers, width, heads.
        arrays: the batch.
    """

    def __init__(self, folder: Path, sizes: tuple, arrays: dict[str, np.ndarray], **_):
        self.trainer = make_trainer(folder / CHECKPOINT, Sizes(*sizes))
        self.arrays = {name: torch.from_numpy(value) for name, value in arrays.items()}
        self.dvae_mel = self.trainer.torch_mel_spectrogram_dvae

    def loss(self, stage: str) -> float:
        """Without dropout, and with nothing of the prompt masked."""
        if stage == "gpt":
            self.trainer.xtts.gpt.eval()
            with torch.no_grad():
                batch = self.trainer.format_batch_on_device(self._raw())
                return float(self.trainer.train_step({**batch, "cond_idxs": None}, None)[1]["loss"])
        if stage == "dvae":
            with torch.no_grad():
                mel = self.dvae_mel(self.arrays["crops"])
                return float(self.trainer.dvae.eval()(mel)[0].mean())
        with torch.no_grad():
            decoder = self.trainer.xtts.hifigan_decoder.eval()
            wave = decoder(*self._heard())
            return float(wave.abs().mean())

    def step(self, stage: str, cached: bool) -> Callable[[], float]:
        """A whole training step.

        Args:
            cached: the DVAE's codes and the mels of the prompts are there already, as they never
                are in Coqui's trainer.
        """
        return {"gpt": self._gpt, "dvae": self._dvae, "decoder": self._decoder}[stage](cached)

    def _gpt(self, cached: bool) -> Callable[[], float]:
        trainer = self.trainer
        trainer.eval()
        trainer.xtts.gpt.train()
        optimizer = trainer.get_optimizer()
        ready = trainer.format_batch_on_device(self._raw()) if cached else None

        def step() -> float:
            batch = dict(ready or trainer.format_batch_on_device(self._raw()))
            # The trainer turns frames to codes in place.
            batch["cond_idxs"] = batch["cond_idxs"].clone()
            optimizer.zero_grad()
            loss = trainer.train_step(batch, None)[1]["loss"]
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    def _dvae(self, cached: bool) -> Callable[[], float]:
        dvae = self.trainer.dvae.train()
        optimizer = torch.optim.AdamW(dvae.parameters(), RATE, **ADAMW)
        ready = self.dvae_mel(self.arrays["crops"]) if cached else None

        def step() -> float:
            mel = self.dvae_mel(self.arrays["crops"]) if ready is None else ready
            optimizer.zero_grad()
            rebuilt, commitment, _ = dvae(mel)
            loss = rebuilt.mean() + COMMITMENT_WEIGHT * commitment.mean()
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    def _decoder(self, cached: bool) -> Callable[[], float]:
        decoder = self.trainer.xtts.hifigan_decoder.train()
        self.trainer.xtts.gpt.eval()
        judge, config = HifiganDiscriminator(), hifigan()
        spoken, judged = GeneratorLoss(config), DiscriminatorLoss(config)
        own, others = (
            torch.optim.AdamW(part.parameters(), config.lr, **config.optimizer_params)
            for part in (decoder, judge)
        )
        ready = self.trainer.format_batch_on_device(self._raw("decoder")) if cached else None

        def step() -> float:
            latents, real = self._segments(ready)
            prompt = self.arrays["prompt_16k"][: len(real)].clone()
            speaker = decoder.speaker_encoder(prompt, l2_norm=True)[..., None]
            fake = decoder(latents, speaker)[:, :, : real.shape[2]]
            others.zero_grad()
            judged(judge(fake.detach())[0], judge(real)[0])["loss"].backward()
            others.step()
            own.zero_grad()
            scores, features = judge(fake)
            with torch.no_grad():
                wanted = judge(real)[1]
            loss = spoken(fake, real, scores, features, wanted)["loss"]
            loss.backward()
            own.step()
            return loss.item()

        return step

    @torch.no_grad()
    def _segments(self, ready: dict | None) -> tuple:
        """Latents of random segments, and the recordings ``(rows, 1, samples)``."""
        latents = self._latents(ready or self.trainer.format_batch_on_device(self._raw("decoder")))
        starts = torch.randint(latents.shape[1] - SEGMENT_CODES, latents.shape[:1])
        pairs = zip(latents, starts, strict=False)
        cut = [row[start : start + SEGMENT_CODES] for row, start in pairs]
        code = FRAMES_PER_CODE * HOP_LENGTH * OUTPUT_RATE / MODEL_RATE
        first = [round(int(start) * code) for start in starts]
        samples = HOP_LENGTH * int(FRAMES_PER_CODE * SEGMENT_CODES * OUTPUT_RATE / MODEL_RATE)
        waves = [
            row[None, begin : begin + samples]
            for row, begin in zip(self.arrays["wave_24k"], first, strict=False)
        ]
        return torch.stack(cut), torch.stack(waves)

    def _latents(self, batch: dict) -> torch.Tensor:
        return self.trainer.xtts.gpt(
            batch["text_inputs"],
            batch["text_lengths"],
            batch["audio_codes"],
            batch["wav_lengths"],
            cond_mels=batch["cond_mels"],
            cond_idxs=batch["cond_idxs"].clone(),
            return_latent=True,
        )

    def _heard(self) -> tuple:
        """Some latents and speaker embeddings."""
        self.trainer.xtts.gpt.eval()
        latents = self._latents(self.trainer.format_batch_on_device(self._raw("decoder")))
        encoder = self.trainer.xtts.hifigan_decoder.speaker_encoder
        prompt = self.arrays["prompt_16k"][: len(latents)].clone()
        return latents[:, :SEGMENT_CODES], encoder(prompt, l2_norm=True)[..., None]

    def _raw(self, stage: str = "gpt") -> dict:
        """A batch as Coqui's ``XTTSDataset`` collates it."""
        rows = ROWS[stage]
        text, wave = self.arrays["text"][:rows], self.arrays["wave"][:rows]
        span = torch.tensor([[0, prompt_samples()]])
        return {
            "padded_text": text,
            "text_lengths": torch.full((rows,), text.shape[1]),
            "wav": wave[:, None],
            "wav_lengths": torch.full((rows,), wave.shape[1]),
            "conditioning": wave[:, None, None, : prompt_samples()],
            "cond_idxs": span.repeat(rows, 1),
            "cond_lens": None,
        }


def make_trainer(checkpoint: Path, sizes: Sizes) -> GPTTrainer:
    """Coqui's trainer with the checkpoint's GPT, decoder and DVAE."""
    told = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["model_args"]
    known = {name: told[name] for name in GPTArgs().to_dict() if name in told}
    more = {
        "mel_norm_file": str(checkpoint / "mel_stats.pth"),
        "dvae_checkpoint": str(checkpoint / "dvae.pth"),
        "tokenizer_file": str(checkpoint / "vocab.json"),
    }
    config = GPTTrainerConfig(
        model_args=GPTArgs(**{**known, **more}),
        audio=XttsAudioConfig(
            sample_rate=MODEL_RATE, dvae_sample_rate=MODEL_RATE, output_sample_rate=OUTPUT_RATE
        ),
        optimizer="AdamW",
        optimizer_wd_only_on_weights=True,
        optimizer_params=ADAMW,
        lr=RATE,
    )
    trainer = GPTTrainer(config)
    # Our own file; its pickled configuration is more than Coqui's loader allows.
    content = torch.load(checkpoint / "model.pth", weights_only=False, mmap=True)
    trainer.xtts.load_state_dict(content["model"])
    return trainer


def hifigan() -> HifiganConfig:
    """Coqui's settings for HiFi-GAN, at the rate of XTTS's decoder."""
    config = HifiganConfig()
    config.audio.sample_rate = OUTPUT_RATE
    config.l1_spec_loss_params["sample_rate"] = OUTPUT_RATE
    return config
