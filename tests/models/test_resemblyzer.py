"""Resemblyzer's port: its weights, its numbers, its partial utterances."""

import json
from pathlib import Path

import numpy as np
import pytest

from myxtts.audio.io import read_audio
from myxtts.errors import WeightsError
from myxtts.models.resemblyzer import num_partials
from myxtts.models.speaker_encoder import RANDOM, PretrainedSpeakerEncoder
from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    pytest.importorskip("resemblyzer", reason="resemblyzer is not installed (make reference)")
    patch = pytest.MonkeyPatch()
    patch.setenv("MYXTTS_CACHE", str(tmp_path_factory.mktemp("cache")))
    layer = PretrainedSpeakerEncoder("resemblyzer")
    load_pretrained_speaker_encoder(layer)
    yield layer
    patch.undo()


@pytest.fixture(scope="module")
def upstream():
    package = pytest.importorskip("resemblyzer", reason="resemblyzer is not installed")
    return package.VoiceEncoder("cpu", verbose=False)


@pytest.mark.parametrize("samples", [1000, 25_599, 25_600, 31_000, 37_920, 37_921, 100_000])
def test_partial_utterances_are_counted_as_upstream_does(upstream, samples):
    slices, _ = upstream.compute_partial_slices(samples, rate=1.3, min_coverage=0.75)
    assert int(num_partials(samples)) == len(slices)


@pytest.mark.parametrize("samples", [9001, 30_123, 64_000])
def test_embeddings_equal_upstreams_on_noise(encoder, upstream, samples):
    audio = 0.2 * np.random.default_rng(samples).normal(size=samples).astype("float32")
    expected = upstream.embed_utterance(audio)
    np.testing.assert_allclose(encoder(audio[None])[0], expected, atol=1e-5)


def test_embeddings_equal_upstreams_on_speech(encoder, upstream, shared_data):
    import resemblyzer

    for path in sorted((shared_data / "sv_test" / "audio").rglob("*.flac"))[::20][:12]:
        audio = resemblyzer.preprocess_wav(path)
        cosine = float(np.asarray(encoder(audio[None])[0]) @ upstream.embed_utterance(audio))
        assert cosine >= 0.9999, path


def test_quiet_audio_is_raised_as_upstream_does(encoder, upstream):
    audio = 0.001 * np.random.default_rng(0).normal(size=40_000).astype("float32")
    from resemblyzer.audio import normalize_volume

    expected = upstream.embed_utterance(normalize_volume(audio, -30, increase_only=True))
    np.testing.assert_allclose(encoder(audio[None])[0], expected, atol=1e-5)


def test_padding_and_batching_change_nothing(encoder):
    rng = np.random.default_rng(0)
    clips = [0.1 * rng.normal(size=size).astype("float32") for size in (9000, 26_000, 50_001)]
    batch = np.zeros((3, 60_000), "float32")
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    together = np.asarray(encoder(batch, np.array([len(clip) for clip in clips])))
    for clip, row in zip(clips, together, strict=True):
        np.testing.assert_allclose(encoder(clip[None])[0], row, atol=1e-5)


def test_two_clips_of_a_voice_are_nearer_than_two_voices(encoder, shared_data):
    folder = shared_data / "libritts_mini" / "dev"
    voices = []
    for speaker in ("8887", "9022"):
        paths = sorted((folder / speaker).rglob("*.flac"))[:2]
        voices.append([np.asarray(encoder(read_audio(p, 16_000)[0][None])[0]) for p in paths])
    assert voices[0][0] @ voices[0][1] > voices[0][0] @ voices[1][0]


def test_provenance_names_source_and_hash(encoder):
    assert encoder.provenance.startswith("resemblyzer==0.1.4@sha256:")


def test_frozen_means_no_trainable_variable(encoder):
    assert encoder.trainable_variables == []


def test_converted_weights_are_kept_with_a_manifest(encoder, monkeypatch):
    import os

    folder = Path(os.environ["MYXTTS_CACHE"])
    manifest = json.loads(next(folder.glob("*.json")).read_text())
    assert manifest["licence"] == "Apache-2.0"

    def no_torch(*args):
        raise AssertionError("the cache was not used")

    monkeypatch.setattr("myxtts.weights.speaker_encoders.read_torch_file", no_torch)
    again = PretrainedSpeakerEncoder("resemblyzer")
    load_pretrained_speaker_encoder(again)
    audio = np.random.default_rng(0).normal(size=(1, 20_000)).astype("float32")
    np.testing.assert_array_equal(again(audio), encoder(audio))


def test_random_weights_are_never_used():
    layer = PretrainedSpeakerEncoder("resemblyzer")
    assert layer.provenance == RANDOM
    with pytest.raises(WeightsError, match="random weights"):
        layer(np.zeros((1, 16_000), "float32"))


def test_missing_weights_say_how_to_get_them(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install --no-deps resemblyzer"):
        load_pretrained_speaker_encoder(PretrainedSpeakerEncoder("resemblyzer"))


def test_a_wrong_path_is_named(tmp_path):
    with pytest.raises(WeightsError, match="pretrained.pt"):
        load_pretrained_speaker_encoder(PretrainedSpeakerEncoder("resemblyzer"), tmp_path)
