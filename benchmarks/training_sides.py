"""Our side of ``benchmarks/training_coqui.py``: the steps of the trainer's stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks.training_material import PRESET, PROMPT, ROWS, SEGMENT_CODES, prompt_samples
from myxtts.audio.frontends import XTTS_CONDITIONING, XTTS_DVAE
from myxtts.audio.mel import MelSpectrogram
from myxtts.config import XTTSConfig
from myxtts.models.xtts import XTTS
from myxtts.timing import FRAMES_PER_CODE
from myxtts.training.cluster import Alone
from myxtts.training.stage import Task
from myxtts.training.stages.xtts import XTTS_SYSTEM


class MyXTTS:
    """Losses and steps by stage, the same as :class:`benchmarks.training_torch.Coqui`'s.

    Args:
        folder: of :func:`benchmarks.training_material.write_material`.
        sizes: of the GPT; the preset has them.
        arrays: the batch.
        bfloat16: as ``--mixed-precision``.
        xla: compile whole steps, as ``--xla``.
    """

    def __init__(self, folder: Path, sizes, arrays: dict, bfloat16: bool = False, xla=False):
        keras.config.set_dtype_policy("mixed_bfloat16" if bfloat16 else "float32")
        self.arrays, self.xla = arrays, xla
        training = {
            "coqui_compatible": True,
            "segment_codes": SEGMENT_CODES,
            "mixed_precision": bfloat16,
            # What Coqui's have on any decoder.
            "discriminator_width": 1.0,
        }
        stored = XTTSConfig.from_yaml(folder / PRESET / "config.yaml")
        config = stored.merged({"training": training, "data": {"reference": "masked_prompt"}})
        self.model = XTTS.from_preset(folder / PRESET, config)

    def loss(self, stage: str) -> float:
        """Without dropout, and with nothing of the prompt masked."""
        batch = self._batch(stage, cached=False)
        task = self._task(stage)
        if stage == "decoder":
            latents = task._latents(batch)[:, :SEGMENT_CODES]
            wave = self.model.decoder(latents, task._speaker(batch, training=False))
            return float(tf.reduce_mean(tf.abs(wave)))
        numbers = task.losses(batch, training=False)
        return float(numbers["recon_loss" if stage == "dvae" else "loss"])

    def step(self, stage: str, cached: bool) -> Callable[[], float]:
        """A whole training step, compiled as the trainer does.

        Args:
            cached: the DVAE's codes are in the batch, as they are in a run; mels always are.
        """
        batch = self._batch(stage, cached)
        # Utterances and their lengths differ from batch to batch, channels do not.
        spec = {
            name: tf.TensorSpec([None, None, *value.shape[2:]][: len(value.shape)], value.dtype)
            for name, value in batch.items()
        }
        task = self._task(stage)
        xla = self.xla and not task.compiles_itself
        train = Alone().compile([task], spec, xla, {}, lambda: False)
        return lambda: float(train(batch)["loss"])

    def _task(self, stage: str) -> Task:
        kinds = {item.name: item.task for item in XTTS_SYSTEM.stages}
        return kinds[stage](self.model, self.model.config)

    def _batch(self, stage: str, cached: bool) -> dict:
        if stage == "dvae":
            mel = MelSpectrogram(XTTS_DVAE)(tf.constant(self.arrays["crops"]))
            return {"mel": mel, "mel_mask": tf.ones(mel.shape[:2], bool)}
        rows = ROWS[stage]
        wave, text = self.arrays["wave"][:rows], self.arrays["text"][:rows]
        mel = MelSpectrogram(XTTS_DVAE)(wave)
        prompt = MelSpectrogram(XTTS_CONDITIONING)(wave[:, : prompt_samples()])
        frames = FRAMES_PER_CODE * PROMPT
        batch = {
            "text_ids": text,
            "text_lengths": np.full(rows, text.shape[1], "int32"),
            "mel_lengths": np.full(rows, mel.shape[1], "int32"),
            "speaker_ids": np.arange(rows, dtype="int32"),
            "code_tokens": np.full((rows, mel.shape[1] // FRAMES_PER_CODE), -1, "int32"),
            "reference_mel": prompt,
            "reference_mask": np.ones(prompt.shape[:2], bool),
            "prompt_frames": np.tile(np.array([[0, frames]], "int32"), (rows, 1)),
        }
        if cached:
            codes = self.model.dvae.encode(self.model.mel_norm(mel))
            batch["audio_codes"] = tf.cast(codes, "int32")
        else:
            batch["mel"] = mel
        if stage == "decoder":
            prompt = self.arrays["prompt_16k"][:rows]
            batch["wave"] = self.arrays["wave_24k"][:rows]
            batch["wave_lengths"] = np.full(rows, batch["wave"].shape[1], "int32")
            batch["reference_16k"] = prompt
            batch["reference_16k_lengths"] = np.full(rows, prompt.shape[1], "int32")
        return {name: tf.convert_to_tensor(value) for name, value in batch.items()}
