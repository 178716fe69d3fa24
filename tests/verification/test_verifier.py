"""Embedding, enrolling and deciding, on an encoder whose embeddings are known."""

import json
import logging
import shutil
import sys

import keras
import numpy as np
import pytest
import soundfile
from keras import ops

from myxtts.audio.io import read_audio
from myxtts.errors import AudioError, CheckpointError, ConfigError, WeightsError
from myxtts.models.gpt import sequence_mask
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.verification import verifier as verification
from myxtts.verification.verifier import (
    PresetEncoder,
    SpeakerVerifier,
    Threshold,
    trim_long_silences,
)

PROVENANCE = "a test@sha256:" + "c" * 64
RATE = 16_000


class Moments(keras.layers.Layer):
    """Embeds the mean, the power and the length of the valid samples."""

    provenance = PROVENANCE

    def call(self, audio, lengths):
        valid = ops.cast(sequence_mask(lengths, ops.shape(audio)[1]), "float32")
        count = ops.cast(lengths, "float32")
        mean = ops.sum(audio * valid, axis=1) / count
        power = ops.sum(ops.square(audio) * valid, axis=1) / count
        return ops.stack([mean, power, count / RATE], axis=1)


def a_threshold(value: float = 0.9, **changes) -> Threshold:
    values = {"eer": 1.0, "min_dcf": 0.1, "trials": 9, "measured_on": "x", "provenance": PROVENANCE}
    return Threshold(value, **values | changes)


@pytest.fixture(scope="module")
def verifier() -> SpeakerVerifier:
    return SpeakerVerifier(Moments(), a_threshold())


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Noise of seven lengths and levels, not in order of length."""
    rng = np.random.default_rng(0)
    sizes = [9_000, 3_000, 20_000, 2_000, 16_000, 1_700, 5_000]
    return [
        (level * rng.normal(1, 1, size)).astype("float32")
        for level, size in enumerate(sizes, start=1)
    ]


@pytest.fixture(scope="module")
def tiny_encoder():
    """Resemblyzer with weights drawn at random that count as loaded."""
    encoder = PretrainedSpeakerEncoder("resemblyzer")
    encoder.build()
    rng = np.random.default_rng(1)
    for variable in encoder.weights:
        # Larger ones make chaos of an LSTM: rounding alone would then tell a batch from its rows.
        variable.assign(variable + 0.05 * rng.normal(size=variable.shape))
    encoder.provenance = PROVENANCE
    return encoder


def test_embeddings_keep_the_order_of_the_clips(verifier, clips):
    expected = [[clip.mean(), np.square(clip).mean(), len(clip) / RATE] for clip in clips]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    embeddings = verifier.embed(clips, batch_size=3)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)


def test_a_batch_equals_singles(tiny_encoder, clips):
    verifier = SpeakerVerifier(tiny_encoder)
    singles = np.concatenate([verifier.embed(clip / 10) for clip in clips])
    together = verifier.embed([clip / 10 for clip in clips])
    assert np.max(np.abs(singles - together)) <= 1e-5
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_files_of_any_rate_are_embedded_as_their_audio(tiny_encoder, clips, tmp_path):
    stereo = np.stack([clips[4], clips[4]], axis=1) / 20
    soundfile.write(tmp_path / "stereo.wav", stereo, 44_100)
    verifier = SpeakerVerifier(tiny_encoder)
    audio, _ = read_audio(tmp_path / "stereo.wav", RATE)
    for path in (tmp_path / "stereo.wav", str(tmp_path / "stereo.wav")):
        np.testing.assert_allclose(verifier.embed(path), verifier.embed(audio), atol=1e-6)


def test_enrolling_is_the_normalised_mean(verifier, clips):
    mean = verifier.embed(clips[:3]).mean(axis=0)
    np.testing.assert_allclose(verifier.enroll(clips[:3]), mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(verifier.enroll(clips[0]), verifier.embed(clips[0])[0], atol=1e-6)


def test_decisions_compare_the_score_with_the_threshold(verifier, clips):
    enrolled = verifier.enroll(clips[0])
    same = verifier.verify(enrolled, clips[0])
    assert same.score == pytest.approx(1.0, abs=1e-5)
    assert same.threshold == 0.9
    assert same.accepted is True
    other = verifier.verify(enrolled, -clips[1])
    assert other.score == pytest.approx(float(enrolled @ verifier.embed(-clips[1])[0]), abs=1e-6)
    assert other.accepted is (other.score >= 0.9)


def test_a_score_on_the_threshold_is_accepted(clips):
    score = SpeakerVerifier(Moments()).similarity_matrix(clips[:1], clips[1:2])[0, 0]
    verifier = SpeakerVerifier(Moments(), a_threshold(float(score) - 1e-6))
    assert verifier.verify(verifier.enroll(clips[0]), clips[1]).accepted
    verifier = SpeakerVerifier(Moments(), a_threshold(float(score) + 1e-4))
    assert not verifier.verify(verifier.enroll(clips[0]), clips[1]).accepted


def test_deciding_without_a_threshold_says_how_to_measure_one(clips):
    verifier = SpeakerVerifier(Moments())
    with pytest.raises(ConfigError, match="myxtts verify --trials FILE --save-threshold"):
        verifier.verify(verifier.enroll(clips[0]), clips[0])


def test_a_voice_of_another_encoder_is_refused(verifier, clips):
    with pytest.raises(ConfigError, match=r"shape \(256,\)"):
        verifier.verify(np.ones(256, "float32"), clips[0])


def test_similarity_matrix_is_symmetric_with_unit_diagonal(verifier, clips):
    matrix = verifier.similarity_matrix(clips)
    assert matrix.shape == (7, 7)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-5)
    embeddings = verifier.embed(clips)
    np.testing.assert_allclose(verifier.similarity_matrix(embeddings), matrix, atol=1e-6)
    between = verifier.similarity_matrix(clips[:2], embeddings[4:])
    np.testing.assert_allclose(between, matrix[:2, 4:], atol=1e-6)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ([], "no clip"),
        ("absent.wav", "no audio file absent.wav"),
        (np.zeros(RATE, "float32"), "is silent"),
        (np.full(RATE, np.nan, "float32"), "finite"),
        (np.ones(1_500, "float32"), "0.094 s; at least 0.1 s"),
        ([np.ones((RATE, 2), "float32")], r"one row of finite samples.*\(16000, 2\)"),
    ],
)
def test_clips_that_cannot_be_embedded_are_one_sentence(verifier, clip, message):
    with pytest.raises(AudioError, match=message):
        verifier.embed(clip)


def test_files_that_are_no_audio_are_named(verifier, tmp_path):
    (tmp_path / "text.wav").write_text("This is no audio at all.")
    with pytest.raises(AudioError, match="text.wav is not audio"):
        verifier.embed([tmp_path / "text.wav"])


def test_batches_hold_at_least_one_clip(verifier, clips):
    with pytest.raises(ConfigError, match="batch_size"):
        verifier.embed(clips, batch_size=0)


def test_random_weights_are_refused():
    with pytest.raises(WeightsError, match="random weights"):
        SpeakerVerifier(PretrainedSpeakerEncoder("resemblyzer"))


@pytest.mark.parametrize("changes", [{"provenance": "other@sha256:" + "d" * 64}, {"trimmed": True}])
def test_a_threshold_of_something_else_is_warned_of(changes, caplog):
    SpeakerVerifier(Moments(), a_threshold(**changes), trim_silences=False)
    assert "may not hold" in caplog.text


def test_a_fitting_threshold_is_taken_silently(caplog):
    caplog.set_level(logging.WARNING)
    SpeakerVerifier(Moments(), a_threshold())
    assert not caplog.text


def test_a_preset_speaks_with_its_projected_embedding(trained, corpus):
    verifier = SpeakerVerifier.from_preset(trained.preset)
    paths = [corpus / "clip_0.wav", corpus / "clip_1.wav"]
    audio, rate = read_audio(paths[0])
    assert verifier.sample_rate == rate == 22_050
    expected = PresetEncoder(trained.preset).audio_encoder.encode(audio[None])[1]
    np.testing.assert_allclose(verifier.embed(paths)[:1], expected, atol=1e-5)
    assert verifier.threshold is None


def test_a_preset_brings_its_threshold_until_it_is_retrained(trained, tmp_path, caplog):
    folder = tmp_path / "preset"
    shutil.copytree(trained.preset, folder)
    provenance = SpeakerVerifier.from_preset(folder).provenance
    manifest = json.loads((folder / "manifest.json").read_text())
    assert provenance.endswith(manifest["sha256"]["xtts.safetensors"])
    a_threshold(0.5, provenance=provenance).save(folder / "verification.json")
    assert SpeakerVerifier.from_preset(folder).threshold.value == 0.5
    a_threshold(0.5).save(folder / "verification.json")
    assert SpeakerVerifier.from_preset(folder).threshold is None
    assert "is ignored" in caplog.text


def test_a_folder_that_is_no_preset_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is no preset"):
        SpeakerVerifier.from_preset(tmp_path)


def test_silences_are_trimmed_at_16_khz_only(trained):
    pytest.importorskip("webrtcvad", reason="silences are found with webrtcvad")
    encoder = PresetEncoder(trained.preset)
    with pytest.raises(ConfigError, match="16000 Hz only"):
        SpeakerVerifier(encoder, trim_silences=True)


def test_trimming_without_the_detector_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(ConfigError, match="pip install webrtcvad-wheels"):
        SpeakerVerifier(Moments(), trim_silences=True)


def test_a_clip_without_speech_stays_whole():
    pytest.importorskip("webrtcvad", reason="silences are found with webrtcvad")
    clip = np.full(8_000, 1e-6, "float32")
    assert len(trim_long_silences(clip)) == len(clip)


def test_trimming_equals_the_upstream(shared_data):
    upstream = pytest.importorskip("resemblyzer", reason="the reference is not installed")
    clips = sorted((shared_data / "sv_test" / "audio").rglob("*.flac"))[::40]
    for path in clips:
        theirs = upstream.preprocess_wav(path)
        ours = trim_long_silences(read_audio(path, RATE)[0])
        assert ours.shape == theirs.shape, path
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_true_weights_bring_the_shipped_threshold():
    pytest.importorskip("resemblyzer", reason="its weights are in the package")
    verifier = SpeakerVerifier.from_pretrained("resemblyzer")
    assert verifier.trim_silences
    assert verifier.threshold.value == pytest.approx(0.7427, abs=1e-3)
    keeping = SpeakerVerifier.from_pretrained("resemblyzer", trim_silences=False)
    assert keeping.threshold.value == pytest.approx(0.7772, abs=1e-3)


def test_other_weights_do_not_use_the_shipped_threshold(tiny_encoder):
    provenance = tiny_encoder.provenance
    assert verification.shipped_threshold("resemblyzer", provenance) is None
