"""XTTS here and Coqui's, side by side: one checkpoint, and the same calls on both.

Coqui's own classes write the checkpoint folder, with random weights. On both sides the stop
code is never chosen, so that every speech is as long as it may be. :class:`Coqui` and
:func:`prepare` need torch and coqui-tts (``make reference``).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tensorflow as tf

from benchmarks.upstream.drawn import RATE, sound
from myxtts.config import SynthesisConfig, XTTSConfig
from myxtts.generation.state import generate
from myxtts.inference.coder import Coder, Request
from myxtts.inference.compiled_decoder import decoding, vocode_of
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.text.tokenizer import train_tokenizer
from myxtts.timing import SECONDS_PER_CODE

THREADS = 2
# Layers, width and heads of the GPT; Coqui's decoder has but one size.
SIZES = {
    "tiny": (2, 64, 4),
    "base": (6, 256, 4),
    "small": (8, 512, 8),
    "full": (30, 1024, 16),
}
# Low enough that no draw and no penalty brings the stop code back.
NEVER = -1e4
TEXT = "The birch canoe slid on the smooth planks while the crew sang an old song about the sea."
REFERENCE_SECONDS = 12
# Length of what ``decode`` decodes, in codes.
DECODED = 128
STREAM_CODES = 20
# Coqui's own defaults.
SAMPLING = {"temperature": 0.75, "top_k": 50, "top_p": 0.85, "repetition_penalty": 10.0}
GREEDY_PENALTY = 5.0


class Coqui:
    """Coqui's model as its users call it.

    Args:
        folder: checkpoint of :func:`prepare`.
        reference: audio file of the voice.
    """

    def __init__(self, folder: Path, reference: Path):
        import torch

        from benchmarks.upstream import coqui

        self.torch, self.upstream, self.reference = torch, coqui, str(reference)
        self.model = coqui.read_checkpoint(folder)
        self.model.gpt.mel_head.bias.data[self.model.args.gpt_stop_audio_token] = NEVER
        self.latents = torch.from_numpy(random_latents(self.model.args.gpt_n_model_channels))
        self.voice = self.condition()

    def generate(self, codes: int) -> np.ndarray:
        """Greedy codes ``(codes,)``, without latents: Coqui makes them in a second pass."""
        self._bound(codes)
        text = self.torch.IntTensor(self.model.tokenizer.encode(TEXT.lower(), lang="en"))[None]
        with self.torch.inference_mode():
            made = self.model.gpt.generate(
                self.voice[0], text, do_sample=False, repetition_penalty=GREEDY_PENALTY
            )
        return made[0].numpy()

    def decode(self) -> np.ndarray:
        """Waveform ``(samples,)`` of random latents."""
        with self.torch.inference_mode():
            return self.model.hifigan_decoder(self.latents, g=self.voice[1]).numpy().ravel()

    def condition(self) -> tuple:
        """Conditioning latents and speaker embedding of the reference."""
        return self.upstream.condition(self.model, [self.reference])

    def speak(self, codes: int) -> np.ndarray:
        """Text to the waveform of so many codes."""
        self._bound(codes)
        return self.model.inference(TEXT, "en", *self.voice, **SAMPLING)["wav"]

    def stream(self, codes: int) -> Iterator[np.ndarray]:
        """Text to the waveform of so many codes, in chunks."""
        self._bound(codes)
        chunks = self.model.inference_stream(
            TEXT, "en", *self.voice, stream_chunk_size=STREAM_CODES, **SAMPLING
        )
        return (chunk.numpy() for chunk in chunks)

    def _bound(self, codes: int) -> None:
        self.model.gpt.max_gen_mel_tokens = codes


class MyXTTS:
    """The model of this package through its public calls, the same as :class:`Coqui`'s.

    Args:
        model: loses its stop code.
        reference: audio file of the voice.
        xla: compile the GPT's steps.
        engine: that computes these steps, and with ``int8`` the decoder.

    Attributes:
        changed: calls that ``xla`` and ``engine`` change.
    """

    def __init__(self, model: XTTS, reference: Path, xla: bool = False, engine="tensorflow"):
        self.model, self.reference, self.xla, self.engine = model, reference, xla, engine
        self.changed = ("generate", "speak", "stream", *(() if xla else ("decode",)))
        bias = model.gpt.audio_head.bias
        bias.assign(tf.tensor_scatter_nd_update(bias, [[model.gpt.stop_audio_token]], [NEVER]))
        self.latents = tf.constant(random_latents(model.gpt.model_dim))
        self.synthesizers: dict[int, Synthesizer] = {}
        self._generate = tf.function(self._greedy, autograph=False, jit_compile=xla)
        decode = decoding(model.decoder, vocode_of(model.decoder, engine))
        self._decode = tf.function(lambda *inputs: decode(*inputs), autograph=False)
        self.voice = self.condition()

    def generate(self, codes: int) -> np.ndarray:
        """Greedy codes ``(codes,)``, together with their latents."""
        ids = np.array([self.model.tokenizer.encode(TEXT, "en")], "int32")
        if self.engine != "tensorflow":
            rng = np.random.default_rng(0)
            return self._coder.whole(Request(ids[0], self.voice.latents, codes, codes, rng)).codes
        uniforms = np.zeros((1, codes), "float32")
        result = self._generate(*map(tf.constant, (ids, self.voice.latents, uniforms)))
        return result["codes"][0].numpy()

    def decode(self) -> np.ndarray:
        return self._decode(self.latents, tf.constant(self.voice.speaker_embedding))[0].numpy()

    def condition(self):
        return self._synthesizer(DECODED).condition([self.reference])

    def speak(self, codes: int) -> np.ndarray:
        return self._synthesizer(codes).speak(TEXT, self.voice).waveform

    def stream(self, codes: int) -> Iterator[np.ndarray]:
        return self._synthesizer(codes).stream(TEXT, self.voice)

    def _greedy(self, ids, latents, uniforms):
        return generate(
            self.model.gpt,
            ids,
            tf.fill([1], ids.shape[1]),
            latents,
            uniforms,
            greedy=True,
            repetition_penalty=GREEDY_PENALTY,
            coqui_compatible=True,
        )

    @functools.cached_property
    def _coder(self) -> Coder:
        greedy = {"temperature": 0.0, "repetition_penalty": GREEDY_PENALTY}
        return Coder(self.model.gpt, SynthesisConfig(**greedy, engine=self.engine))

    def _synthesizer(self, codes: int) -> Synthesizer:
        """One that bounds the speech of the text to so many codes."""
        if codes not in self.synthesizers:
            settings = SynthesisConfig(
                **SAMPLING,
                coqui_compatible=True,
                retries=0,
                xla=self.xla,
                engine=self.engine,
                stream_codes=STREAM_CODES,
                # Beside these, the bound has two seconds for any text.
                seconds_per_character=((codes - 0.5) * SECONDS_PER_CODE - 2.0) / len(TEXT),
            )
            self.synthesizers[codes] = Synthesizer(self.model, settings)
        return self.synthesizers[codes]


def prepare(folder: Path, size: str) -> Path:
    """A checkpoint of Coqui's classes in ``folder``, unless there; returns the reference."""
    from benchmarks.upstream.coqui import Sizes, write_checkpoint

    limit_threads()
    reference = folder / "reference.wav"
    if not reference.is_file():
        # Nothing here needs the DVAE, so that its sizes are of no account.
        write_checkpoint(folder, Sizes(*SIZES[size]))
        write_reference(reference)
    return reference


def write_reference(path: Path) -> None:
    """Write the voice, at 22.05 kHz."""
    soundfile.write(path, sound(REFERENCE_SECONDS), RATE, subtype="FLOAT")


def random_model(size: str, **parts: Mapping[str, Any]) -> XTTS:
    """XTTS-v2 but for its GPT's size, its DVAE, which a stream does without, and ``parts``."""
    tokenizer = train_tokenizer([(TEXT, "en")], 300)
    gpt = dict(zip(("layers", "model_dim", "heads"), SIZES[size], strict=True))
    gpt |= {
        "num_text_tokens": tokenizer.vocab_size,
        "start_text_token": tokenizer.start_id,
        "stop_text_token": tokenizer.stop_id,
    }
    sizes = {"gpt": gpt, "dvae": {"hidden_dim": 16, "codebook_dim": 16}, **parts}
    model = XTTS(XTTSConfig.preset("xtts_v2").merged({"model": sizes}), tokenizer)
    model.trained_steps = {"dvae": 1, "gpt": 1, "decoder": 1}
    return model


def random_latents(dim: int) -> np.ndarray:
    """``(1, length, dim)`` to decode."""
    return np.random.default_rng(0).normal(size=(1, DECODED, dim)).astype("float32")


def limit_threads() -> None:
    """Give TensorFlow and torch two threads each; before TensorFlow's first operation."""
    import torch
    import TTS.tts.layers.xtts.trainer.dataset  # noqa: F401  (sets torch to one thread)

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    torch.set_num_threads(THREADS)
