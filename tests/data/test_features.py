"""Features are right, cached, and bad recordings are screened out, never a crash."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import soundfile

import myxtts.data.features as module
from myxtts.audio.frontends import XTTS_CONDITIONING, XTTS_DVAE
from myxtts.audio.io import read_audio
from myxtts.audio.mel import MelSpectrogram
from myxtts.config import DataConfig
from myxtts.data.features import FeatureStore, feature_key, mel_stats, screen_corpus
from myxtts.data.formats import Utterance
from myxtts.errors import AudioError, DataError
from tests.conftest import hum

CONFIG = DataConfig(min_seconds=0.5, max_seconds=4.0)
RATE = 22_050


def utterance(path):
    return Utterance(path, "Some words.", "ann", "en")


def write(path, seconds=1.0, rate=RATE, **options):
    audio = hum(seconds, 120, np.random.default_rng(0), rate)
    soundfile.write(path, audio, rate, **options)
    return utterance(path)


def no_reading(monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("audio was read")

    monkeypatch.setattr(module, "read_audio", fail)


@pytest.fixture
def bad_files(tmp_path):
    """One good recording among every kind of bad one: path to the start of its reason."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "good.wav")
    write(folder / "short.wav", 0.1)
    write(folder / "long.wav", 5.0)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("These are words, not samples.")
    (folder / "folder.wav").mkdir()
    (folder / "header.wav").write_bytes((folder / "good.wav").read_bytes()[:44])
    nan = np.full(RATE, np.nan, "float32")
    soundfile.write(folder / "nan.wav", nan, RATE, subtype="FLOAT")
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    click = np.zeros(RATE)
    click[RATE // 2] = 0.5
    soundfile.write(folder / "click.wav", click, RATE)
    write(folder / "cut.flac", 3.0)
    (folder / "cut.flac").write_bytes((folder / "cut.flac").read_bytes()[:5000])
    return {
        folder / "good.wav": None,
        folder / "short.wav": "too short: 0.10 s",
        folder / "long.wav": "too long: 5.0",
        folder / "empty.wav": "corrupt",
        folder / "text.wav": "corrupt",
        folder / "folder.wav": "missing",
        folder / "header.wav": "corrupt",
        folder / "nan.wav": "NaN samples",
        folder / "silent.wav": "silent",
        folder / "click.wav": "too short",
        folder / "cut.flac": "corrupt",
        folder / "absent.wav": "missing",
        folder / ("x" * 300 + ".wav"): "missing",
        folder / "nul\0.wav": "missing",
    }


def screen(bad_files, store, **options):
    items = [utterance(path) for path in bad_files]
    return screen_corpus("the corpus", items, store, lambda item: None, **options)


def test_bad_recordings_are_left_out_counted_and_listed(bad_files, tmp_path):
    usable, report = screen(bad_files, FeatureStore(CONFIG, tmp_path / "cache"))
    assert [item.path.name for item in usable] == ["good.wav"]
    reasons = dict(report.skipped)
    for path, reason in bad_files.items():
        if reason is not None:
            assert reasons[str(path)].startswith(reason), path
    assert report.kept == 1
    assert report.seconds == pytest.approx(1.0, abs=0.05)
    assert report.counts() == {
        "too short": 2,
        "too long": 1,
        "corrupt": 4,
        "missing": 4,
        "NaN samples": 1,
        "silent": 1,
    }
    assert "left out 13" in str(report)


def test_the_report_is_readable_json(bad_files, tmp_path):
    _, report = screen(bad_files, FeatureStore(CONFIG, tmp_path / "cache"))
    report.write(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["counts"]["corrupt"] == 4
    assert len(content["skipped"]) == 13


def test_a_second_run_reads_no_audio_not_even_of_bad_files(bad_files, tmp_path, monkeypatch):
    first = screen(bad_files, FeatureStore(CONFIG, tmp_path / "cache"))
    no_reading(monkeypatch)
    assert screen(bad_files, FeatureStore(CONFIG, tmp_path / "cache")) == first


def test_a_mended_recording_is_heard_again(tmp_path):
    store = FeatureStore(CONFIG, tmp_path)
    item = write(tmp_path / "a.wav", 0.1)
    with pytest.raises(AudioError, match="too short"):
        store.load(item)
    assert len(store.load(write(tmp_path / "a.wav", 1.0))["wave"]) > 20_000


def test_a_changed_recording_gets_new_features(tmp_path):
    store = FeatureStore(CONFIG, tmp_path)
    before = store.load(write(tmp_path / "a.wav", 1.0))
    after = store.load(write(tmp_path / "a.wav", 2.0))
    assert len(after["wave"]) > 1.5 * len(before["wave"])


def test_an_unreadable_recording_is_skipped_and_asked_for_again(tmp_path, monkeypatch):
    item = write(tmp_path / "a.wav")
    store = FeatureStore(CONFIG, tmp_path)

    def broken(path):
        raise MemoryError("header asks for 300 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_audio", broken)
        with pytest.raises(DataError, match="300 GiB"):
            screen_corpus(tmp_path, [item], store, lambda item: None)
    assert screen_corpus(tmp_path, [item], store, lambda item: None)[1].kept == 1


def test_a_corpus_without_usable_utterance_says_why(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    items = [utterance(tmp_path / "a.wav"), utterance(tmp_path / "b.wav")]
    store = FeatureStore(CONFIG, tmp_path / "cache")
    with pytest.raises(
        DataError, match=r"no usable utterance: 1 corrupt, 1 missing; first .*a\.wav"
    ):
        screen_corpus(tmp_path, items, store, lambda item: None)


def test_speech_longer_than_the_model_can_hold_is_left_out(tmp_path):
    items = [write(tmp_path / "a.wav", 1.0), write(tmp_path / "b.wav", 2.0)]
    store = FeatureStore(CONFIG, tmp_path / "cache")
    usable, report = screen_corpus(tmp_path, items, store, lambda item: None, max_frames=128)
    assert usable == items[:1]
    assert report.skipped[0][1].startswith("too long for the model")
    assert report.seconds == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("suffix", "rate"), [("wav", 22_050), ("flac", 44_100), ("ogg", 16_000), ("mp3", 48_000)]
)
def test_features_of_every_format_have_one_length(tmp_path, suffix, rate):
    features = FeatureStore(CONFIG, tmp_path).load(write(tmp_path / f"a.{suffix}", 1.5, rate))
    seconds = len(features["wave"]) / 24_000
    assert seconds == pytest.approx(1.5, abs=0.1)
    assert len(features["audio_16k"]) / 16_000 == pytest.approx(seconds, abs=1e-3)
    for name in ("dvae_mel", "cond_mel"):
        assert features[name].dtype == np.float16
        assert features[name].shape[1] == 80
        assert len(features[name]) == pytest.approx(1 + seconds * 22_050 // 256, abs=1)
    assert features["wave"].dtype == features["audio_16k"].dtype == np.int16


@pytest.mark.parametrize("seconds", [0.6, 1.0, 1.37, 3.0])
@pytest.mark.parametrize(
    ("name", "spec"), [("dvae_mel", XTTS_DVAE), ("cond_mel", XTTS_CONDITIONING)]
)
def test_mels_are_those_of_the_front_end_to_the_last_frame(tmp_path, name, spec, seconds):
    config = dataclasses.replace(CONFIG, trim_silence=False)
    item = write(tmp_path / "a.wav", seconds, subtype="FLOAT")
    mel = FeatureStore(config, tmp_path).load(item)[name].astype("float32")
    audio, _ = read_audio(item.path)
    expected = np.asarray(MelSpectrogram(spec)(audio[None]))[0]
    assert mel.shape == expected.shape
    np.testing.assert_allclose(mel, expected, atol=0.01)


def test_waveforms_survive_the_cache(tmp_path):
    config = dataclasses.replace(CONFIG, trim_silence=False)
    item = write(tmp_path / "a.wav", 1.0, 24_000, subtype="FLOAT")
    wave = FeatureStore(config, tmp_path).load(item)["wave"] / 32767
    np.testing.assert_allclose(wave, read_audio(item.path)[0], atol=1 / 32767)


def test_silence_is_trimmed_only_when_asked(tmp_path):
    quiet = np.zeros(RATE // 2, "float32")
    voice = hum(1.0, 120, np.random.default_rng(0))
    soundfile.write(tmp_path / "a.wav", np.concatenate([quiet, voice, quiet]), RATE)
    lengths = []
    for trim in (True, False):
        config = dataclasses.replace(CONFIG, trim_silence=trim)
        wave = FeatureStore(config, tmp_path).load(utterance(tmp_path / "a.wav"))["wave"]
        lengths.append(len(wave) / 24_000)
    assert lengths == pytest.approx([1.0, 2.0], abs=0.1)


@pytest.mark.parametrize("damage", [b"", b"not an archive", None])
def test_damaged_cache_files_are_computed_again(tmp_path, damage):
    store = FeatureStore(CONFIG, tmp_path)
    item = write(tmp_path / "a.wav")
    before = store.load(item)
    path = store.path(item)
    path.write_bytes(path.read_bytes()[:-300] if damage is None else damage)
    after = store.load(item)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert np.load(path)["wave"].size


def test_a_cache_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write to the folder"):
        FeatureStore(CONFIG, tmp_path / "file")


def test_the_key_follows_what_decides_the_features():
    base = feature_key(CONFIG)
    for change in (
        {"min_seconds": 0.4},
        {"max_seconds": 5.0},
        {"silence_db": -50.0},
        {"trim_silence": False},
    ):
        assert feature_key(dataclasses.replace(CONFIG, **change)) != base, change
    for change in (
        {"reference_seconds": 2.0},
        {"speakers_per_batch": 4},
        {"train_data": "elsewhere"},
        {"reference": "same_utterance"},
    ):
        assert feature_key(dataclasses.replace(CONFIG, **change)) == base, change


def test_the_key_follows_the_front_end_and_the_format(monkeypatch):
    base = feature_key(CONFIG)
    monkeypatch.setattr(module, "FORMAT_VERSION", 99)
    changed = feature_key(CONFIG)
    monkeypatch.setattr(module, "XTTS_DVAE", dataclasses.replace(XTTS_DVAE, hop_length=128))
    assert len({base, changed, feature_key(CONFIG)}) == 3


def test_mel_stats_are_the_mean_magnitude_of_every_channel(tmp_path):
    store = FeatureStore(CONFIG, tmp_path)
    items = [write(tmp_path / "a.wav", 1.0), write(tmp_path / "b.wav", 2.0)]
    frames = np.concatenate([store.load(item)["dvae_mel"] for item in items]).astype("float64")
    stats = mel_stats(items, store)
    assert stats.shape == (80,)
    np.testing.assert_allclose(stats, np.abs(frames).mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("folder", ["libritts_mini/dev", "ljspeech_mini", "kokoro54"])
def test_real_recordings_pass_the_screen(shared_data, folder, tmp_path):
    from myxtts.data.formats import find_utterances

    if not (shared_data / folder).is_dir():
        pytest.skip(f"{folder} is absent")
    found = find_utterances(shared_data / folder)[:4]
    store = FeatureStore(DataConfig(), tmp_path)
    usable, _ = screen_corpus(folder, found, store, lambda item: None)
    assert usable == found


def test_moving_the_cache_keeps_it(tmp_path, monkeypatch):
    item = write(tmp_path / "a.wav")
    FeatureStore(CONFIG, tmp_path / "one").load(item)
    shutil.move(tmp_path / "one", tmp_path / "two")
    no_reading(monkeypatch)
    FeatureStore(CONFIG, tmp_path / "two").load(item)
