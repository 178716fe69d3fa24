"""Features are right, computed once, and made anew when anything that decides them changes."""

import dataclasses
import shutil

import numpy as np
import pytest
import soundfile

import myxtts.data.store as module
from myxtts.audio.frontends import XTTS_CONDITIONING, XTTS_DVAE
from myxtts.audio.io import read_audio
from myxtts.audio.mel import MelSpectrogram
from myxtts.config import DataConfig
from myxtts.data.formats import Utterance
from myxtts.data.store import Clip, Feature, FeatureStore, log_mel
from myxtts.data.xtts import open_store
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


def test_a_mended_recording_is_heard_again(tmp_path):
    store = open_store(CONFIG, tmp_path)
    item = write(tmp_path / "a.wav", 0.1)
    with pytest.raises(AudioError, match="too short"):
        store.load(item)
    assert len(store.load(write(tmp_path / "a.wav", 1.0))["wave"]) > 20_000


def test_a_changed_recording_gets_new_features(tmp_path):
    store = open_store(CONFIG, tmp_path)
    before = store.load(write(tmp_path / "a.wav", 1.0))
    after = store.load(write(tmp_path / "a.wav", 2.0))
    assert len(after["wave"]) > 1.5 * len(before["wave"])


@pytest.mark.parametrize(
    ("suffix", "rate"), [("wav", 22_050), ("flac", 44_100), ("ogg", 16_000), ("mp3", 48_000)]
)
def test_features_of_every_format_have_one_length(tmp_path, suffix, rate):
    features = open_store(CONFIG, tmp_path).load(write(tmp_path / f"a.{suffix}", 1.5, rate))
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
    mel = open_store(config, tmp_path).load(item)[name].astype("float32")
    audio, _ = read_audio(item.path)
    expected = np.asarray(MelSpectrogram(spec)(audio[None]))[0]
    assert mel.shape == expected.shape
    np.testing.assert_allclose(mel, expected, atol=0.01)


def test_waveforms_survive_the_cache(tmp_path):
    config = dataclasses.replace(CONFIG, trim_silence=False)
    item = write(tmp_path / "a.wav", 1.0, 24_000, subtype="FLOAT")
    wave = open_store(config, tmp_path).load(item)["wave"] / 32767
    np.testing.assert_allclose(wave, read_audio(item.path)[0], atol=1 / 32767)


@pytest.mark.parametrize("damage", [b"", b"not an archive", None])
def test_damaged_cache_files_are_computed_again(tmp_path, damage):
    store = open_store(CONFIG, tmp_path)
    item = write(tmp_path / "a.wav")
    before = store.load(item)
    path = store.folders["wave"] / f"{Clip(item.path, store).key}.npz"
    path.write_bytes(path.read_bytes()[:-300] if damage is None else damage)
    after = store.load(item)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert np.load(path)["arr_0"].size


def test_a_cache_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write to the folder"):
        open_store(CONFIG, tmp_path / "file")


def keys(folder, config=CONFIG, **features) -> dict:
    store = open_store(config, folder)
    store.features |= features
    return {name: store.key(name) for name in store.features}


def test_the_key_follows_what_decides_the_features(tmp_path):
    base = keys(tmp_path)
    for change in (
        {"min_seconds": 0.4},
        {"max_seconds": 5.0},
        {"silence_db": -50.0},
        {"trim_silence": False},
    ):
        changed = keys(tmp_path, dataclasses.replace(CONFIG, **change))
        assert not set(changed.values()) & set(base.values()), change
    for change in (
        {"reference_seconds": 2.0},
        {"speakers_per_batch": 4},
        {"train_data": "elsewhere"},
        {"reference": "same_utterance"},
    ):
        assert keys(tmp_path, dataclasses.replace(CONFIG, **change)) == base, change


def test_the_key_follows_the_front_end_and_the_format(tmp_path, monkeypatch):
    base = keys(tmp_path)
    other = keys(tmp_path, dvae_mel=log_mel(dataclasses.replace(XTTS_DVAE, hop_length=128)))
    assert {name for name in base if base[name] != other[name]} == {"dvae_mel"}
    monkeypatch.setattr(module, "FORMAT_VERSION", 99)
    assert not set(keys(tmp_path).values()) & set(base.values())


def test_the_key_follows_the_features_that_are_needed(tmp_path):
    def length(version):
        base = Feature(lambda clip: np.zeros(version), {"version": version})
        return {"base": base, "length": Feature(lambda clip: len(clip["base"]), {}, ("base",))}

    one, two = (keys(tmp_path, **length(version)) for version in (1, 2))
    assert one["length"] != two["length"]
    assert one["wave"] == two["wave"]


def test_another_feature_leaves_the_files_of_the_others(tmp_path, monkeypatch):
    item = write(tmp_path / "a.wav")
    store = open_store(CONFIG, tmp_path / "cache")
    wave = store.load(item)["wave"]
    no_reading(monkeypatch)
    peak = Feature(lambda clip: np.abs(clip["wave"]).max(), {}, needs=("wave",))
    both = FeatureStore(store.screen, store.features | {"peak": peak}, tmp_path / "cache")
    assert both.load(item)["peak"] == np.abs(wave).max()


def test_moving_the_cache_keeps_it(tmp_path, monkeypatch):
    item = write(tmp_path / "a.wav")
    open_store(CONFIG, tmp_path / "one").load(item)
    shutil.move(tmp_path / "one", tmp_path / "two")
    no_reading(monkeypatch)
    open_store(CONFIG, tmp_path / "two").load(item)
