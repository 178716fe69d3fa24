"""Files of every kind that is read, how each is read, and what damage does to bytes."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile

from myxtts.audio.io import hum, read_audio

RATE = 22_050
FINGERPRINT = "ab" * 32


@dataclass(frozen=True)
class Reader:
    """One kind of file.

    Attributes:
        suffix: of its name.
        make: function from a path; writes a good file, and maybe others beside it.
        read: function from that path to plain values; raises ``MyXTTSError``.
        sealed: whether a hash or a sum in the file, or beside it, vouches for its content: then
            reading another content without a word is a fault.
    """

    suffix: str
    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    sealed: bool = False


def readers() -> dict[str, Reader]:
    """All kinds of files, by name."""
    return _audio() | _models() | _kept() | _texts() | _prepared() | _of_speakers()


def digest(value: Any) -> str:
    """SHA-256 of what a reader gave."""
    found = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, dict):
            for key in sorted(part, key=str):
                found.update(str(key).encode("utf-8", "surrogatepass"))
                add(part[key])
        elif isinstance(part, (list, tuple)):
            for item in part:
                add(item)
        elif isinstance(part, np.ndarray):
            found.update(f"{part.dtype}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).tobytes())
        else:
            found.update(repr(part).encode("utf-8", "surrogatepass"))

    add(value)
    return found.hexdigest()


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """``content`` after one kind of damage, most of it near its beginning."""
    data = bytearray(content)
    head = min(len(data), int(rng.choice([48, 128, 400, 4000, 2**31 - 1])))
    place = int(rng.integers(head))
    match int(rng.integers(10)):
        case 0 | 1 | 2:
            for _ in range(int(rng.integers(1, 6))):
                data[int(rng.integers(head))] ^= 1 << int(rng.integers(8))
        case 3:
            del data[place:]
        case 4 | 5:
            words = [b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", b"\0\0\0\x80", rng.bytes(4)]
            data[place : place + 4] = words[int(rng.integers(len(words)))]
        case 6:
            data[place:place] = data[place : place + int(rng.integers(1, 64))]
        case 7:
            data[place:place] = rng.bytes(int(rng.integers(1, 40)))
        case 8:
            data[place : place + 8] = bytes([int(rng.choice([0, 255]))]) * 8
        case _:
            data[place : place + int(rng.integers(1, 200))] = b""
    return bytes(data)


def _audio() -> dict[str, Reader]:
    forms = {
        "wav 16": ("WAV", "PCM_16", 1),
        "wav 24": ("WAV", "PCM_24", 2),
        "wav float": ("WAV", "FLOAT", 1),
        "wav double": ("WAV", "DOUBLE", 1),
        "wav 8": ("WAV", "PCM_U8", 1),
        "wav GSM": ("WAV", "GSM610", 1),
        "wav ADPCM": ("WAV", "MS_ADPCM", 1),
        "wav extensible": ("WAVEX", "PCM_16", 2),
        "flac": ("FLAC", "PCM_16", 2),
        "ogg": ("OGG", "VORBIS", 1),
        "opus": ("OGG", "OPUS", 1),
        "mp3": ("MP3", "MPEG_LAYER_III", 1),
        "aiff": ("AIFF", "PCM_16", 1),
    }

    def make(path: Path, form: str, subtype: str, channels: int) -> None:
        rate = 24_000 if subtype == "OPUS" else RATE
        audio = np.repeat(hum(0.5, 120, rate)[:, None], channels, axis=1)
        soundfile.write(path, audio, rate, format=form, subtype=subtype)

    def read(path: Path) -> Any:
        return read_audio(path, RATE)[0]

    def start(path: Path) -> Any:
        return read_audio(path, RATE, 30.0)[0]

    suffixes = {"FLAC": ".flac", "OGG": ".ogg", "MP3": ".mp3", "AIFF": ".aiff"}
    found = {}
    for name, form in forms.items():
        writer = functools.partial(
            lambda path, form: make(path, *form),
            form=form,
        )
        suffix = suffixes.get(form[0], ".wav")
        found[name] = Reader(suffix, writer, read)
        found[f"{name}, its start"] = Reader(suffix, writer, start)
    return found


def _models() -> dict[str, Reader]:
    from myxtts.config import XTTSConfig
    from myxtts.inference.voice import Voice
    from myxtts.presets.variables import load_variables
    from myxtts.weights.coqui_voices import read_voices
    from tools.kokoro.voices import VOICE_SHAPE, load_voice, save_voice

    sizes = XTTSConfig().merged({"model": {"gpt": {"model_dim": 16, "heads": 2}}})
    latents = (1, sizes.model.conditioning.num_latents, 16)
    model = SimpleNamespace(fingerprint=FINGERPRINT, config=sizes)

    def make_voice(path: Path) -> None:
        embedding = np.ones((1, sizes.model.speaker.embedding_dim), "float32")
        Voice(np.ones(latents, "float32"), embedding, FINGERPRINT).save(path)

    def read_voice(path: Path) -> Any:
        voice = Voice.load(path, model)
        return [voice.latents, voice.speaker_embedding]

    class Variable:
        shape, dtype = (64, 4), "float32"

        def assign(self, value: np.ndarray) -> None:
            self.value = np.array(value)

    def make_weights(path: Path) -> None:
        from safetensors.numpy import save

        from myxtts.digests import hashed_beside

        with hashed_beside(path):
            path.write_bytes(save({"a": np.ones((64, 4), "float32")}))

    def read_weights(path: Path) -> Any:
        variable = Variable()
        sha256 = Path(f"{path}.sha256").read_text(encoding="utf-8").split()[0]
        load_variables(path, {"a": variable}, sha256)
        return variable.value

    def make_latents(path: Path) -> None:
        values = {"gpt_cond_latent": np.ones((4, 16)).tolist()}
        path.write_text(json.dumps(values | {"speaker_embedding": [0.1] * 16}), encoding="utf-8")

    def read_latents(path: Path) -> Any:
        return {k: [v.latents, v.speaker_embedding] for k, v in read_voices(path).items()}

    pack = np.random.default_rng(0).normal(size=VOICE_SHAPE).astype("float32")

    def make_pack(path: Path) -> None:
        save_voice(path, pack)

    return {
        "voice": Reader(".safetensors", make_voice, read_voice, sealed=True),
        "weights": Reader(".safetensors", make_weights, read_weights, sealed=True),
        "latents as JSON": Reader(".json", make_latents, read_latents),
        "Kokoro .npz": Reader(".npz", make_pack, load_voice, sealed=True),
        "Kokoro .bin": Reader(".bin", make_pack, load_voice),
    }


def _kept() -> dict[str, Reader]:
    """What a training and a conversion leave and read again, and torch's files."""
    import torch

    from myxtts.data import store
    from myxtts.presets.record import XTTS_KIND, Record, check_record, read_record
    from myxtts.weights.torch_file import read_torch_file

    feature = np.arange(600, dtype="float32").reshape(-1, 4)

    def make_feature(path: Path) -> None:
        store._write(path, feature, store._place(path))

    def read_feature(path: Path) -> Any:
        found = store._read(path)
        # A damaged one is computed again.
        return feature if found is None else found

    def make_torch(path: Path) -> None:
        state = {"weight": torch.ones(16, 4), "bias": torch.zeros(4, dtype=torch.float16)}
        torch.save({"model": state, "step": 3}, path)

    def read_manifest(path: Path) -> Any:
        check_record(path.parent)
        return vars(read_record(path.parent, XTTS_KIND))

    return {
        "cached feature": Reader(".npz", make_feature, read_feature, sealed=True),
        "torch file": Reader(".pth", make_torch, lambda path: read_torch_file(path, "model")),
        "manifest": Reader(
            "manifest.json",
            lambda path: Record(trained_steps={"gpt": 3}, parameters={"gpt": 7}).write(path.parent),
            read_manifest,
        ),
    }


def _texts() -> dict[str, Reader]:
    from myxtts.config import XTTSConfig
    from myxtts.data.formats import find_utterances
    from myxtts.settings import to_dict
    from myxtts.text.tokenizer import VoiceBpeTokenizer, train_tokenizer
    from myxtts.verification.trials import read_trials

    sentences = [("The old clock has stopped again.", "en"), ("Nobody knows how to mend it.", "en")]

    def read_tokenizer(path: Path) -> Any:
        return VoiceBpeTokenizer(path).encode("the old clock", "en")

    def make_rows(path: Path, line: str) -> None:
        (path.parent / "wavs").mkdir(exist_ok=True)
        path.write_text("".join(line.format(n) + "\n" for n in range(8)), encoding="utf-8")

    def read_rows(path: Path) -> Any:
        return [[str(u.path), u.text, u.speaker, u.language] for u in find_utterances(path.parent)]

    def make_trials(path: Path) -> None:
        for name in "abc":
            (path.parent / f"{name}.wav").touch()
        path.write_text("1 a.wav b.wav\n0 a.wav c.wav\n", encoding="utf-8")

    jsonl = '{{"file_name": "wavs/{0}.wav", "text": "This is {0}.", "speaker": "ann"}}'
    return {
        "configuration": Reader(
            ".yaml",
            lambda path: XTTSConfig().to_yaml(path),
            lambda path: to_dict(XTTSConfig.from_yaml(path)),
        ),
        "tokenizer": Reader(
            ".json", lambda path: train_tokenizer(sentences, 300).save(path), read_tokenizer
        ),
        "metadata.csv": Reader(
            "metadata.csv", lambda path: make_rows(path, "{0}|This is {0}.|This is {0}."), read_rows
        ),
        "metadata.jsonl": Reader("metadata.jsonl", lambda path: make_rows(path, jsonl), read_rows),
        "trials": Reader(
            ".txt",
            make_trials,
            lambda path: [repr(trial) for trial in read_trials(path)],
        ),
    }


def _prepared() -> dict[str, Reader]:
    """What the programs of SV2TTS leave and read again."""
    from myxtts.data.rtvc_folders import load_array
    from myxtts.data.rtvc_mels import open_mels
    from myxtts.data.synthesizer import read_table
    from myxtts.weights import rtvc_vocoder
    from myxtts.weights.rtvc import adam_from_torch
    from myxtts.weights.torch_file import write_torch_file

    key = "upsample.resnet.conv_in.weight"

    def make_vocoder(path: Path) -> None:
        weight = np.ones((8, 4, 3), "float32")
        moments = {"step": np.float32(3) * np.ones(1), "exp_avg": weight, "exp_avg_sq": weight}
        adam = {"state": {0: moments}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
        state = {key: weight, "step": np.ones(1)}
        write_torch_file(path, {"model_state": state, "optimizer_state": adam})

    def read_vocoder(path: Path) -> Any:
        found = rtvc_vocoder.read(path)
        adam = adam_from_torch(path, found.optimizer, [key], found.arrays)
        return [found.arrays, found.step, adam and [adam.step, adam.means, adam.squares]]

    def make_sources(path: Path) -> None:
        for name in "ab":
            (path.parent.parent / name).mkdir(exist_ok=True)
            other = path.parent.parent / name / path.name
            other.write_text("u.npy,/x/u.wav\nv.npy,/x/v.wav\n", encoding="utf-8")
        path.write_text("u.npy,/x/u.wav\n", encoding="utf-8")

    def read_sources(path: Path) -> Any:
        corpus = open_mels(path.parent.parent)
        return [[str(item) for item in corpus.paths], corpus.speaker_names]

    row = "audio-{0}.npy|mel-{0}.npy|embed-{0}.npy|32000|160|This is number {0}.\n"
    return {
        "prepared mel": Reader(
            ".npy",
            lambda path: np.save(path, np.arange(600, dtype="float32").reshape(-1, 4)),
            lambda path: load_array(path, 2),
        ),
        "table of utterances": Reader(
            "train.txt",
            lambda path: path.write_text("".join(map(row.format, range(8))), encoding="utf-8"),
            lambda path: [repr(line) for line in read_table(path)],
        ),
        "list of mels": Reader("_sources.txt", make_sources, read_sources),
        "RTVC's vocoder.pt": Reader(".pt", make_vocoder, read_vocoder),
    }


def _of_speakers() -> dict[str, Reader]:
    """What the programs for speaker encoders leave and read again."""
    from myxtts.settings import to_dict
    from myxtts.verification.threshold import Threshold
    from myxtts.weights.torch_tensor import read_tensor, write_tensor
    from tools.speaker_encoder.train_config import read_train_config

    config = {"model_name": "ecapa", "run_id": "one", "train_data_root": "corpus"}
    config |= {"learning_rate_init": 1e-4, "num_epochs": 3, "force_restart": True}
    return {
        "speaker embedding": Reader(
            ".ecapa_embedding",
            lambda path: write_tensor(path, np.linspace(0, 1, 64)[None]),
            read_tensor,
            sealed=True,
        ),
        "threshold": Reader(
            ".json",
            lambda path: Threshold(0.5, 5.0, 0.3, 100, "a set", "x@sha256:1").save(path),
            lambda path: vars(Threshold.load(path)),
        ),
        "train_config.json": Reader(
            "train_config.json",
            lambda path: path.write_text(json.dumps(config), encoding="utf-8"),
            lambda path: [to_dict(read_train_config(path)[0]), read_train_config(path)[1]],
        ),
    }
