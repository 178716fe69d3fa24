"""An error of the machine is not a property of the file: retried, told, never kept."""

import errno
import json

import numpy as np
import pytest
import soundfile

import myxtts.data.screening as screening
from myxtts.audio import decoding
from myxtts.audio.io import read_audio
from myxtts.config import DataConfig
from myxtts.data.formats import Utterance
from myxtts.data.screening import Screen, screen_corpus
from myxtts.data.store import FeatureStore, waveform
from myxtts.errors import AudioError, DataError, UnreadableError
from tests.conftest import hum

RATE = 22_050
CONFIG = DataConfig()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(decoding, "PAUSES_S", (0.0, 0.0))


@pytest.fixture
def item(tmp_path):
    audio = hum(1.0, 120, np.random.default_rng(0))
    soundfile.write(tmp_path / "a.wav", audio, RATE)
    return Utterance(tmp_path / "a.wav", "Some words.", "ann", "en")


@pytest.fixture
def store(tmp_path):
    screen = Screen(CONFIG.min_seconds, CONFIG.max_seconds)
    return FeatureStore(screen, {"wave": waveform(24_000)}, tmp_path / "cache")


def failing(times: int, error: Exception):
    """A SoundFile that fails so often, then opens."""
    real, left = soundfile.SoundFile, [times]

    def open_file(*given, **named):
        if left[0]:
            left[0] -= 1
            raise error
        return real(*given, **named)

    return open_file


def hear(utterance, clip):
    return len(clip["wave"]) / 24_000


def screen(item, store):
    return screen_corpus("the corpus", [item], store, hear)


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), MemoryError(), OSError(errno.EMFILE, "x")]
)
def test_what_passes_is_retried(item, store, monkeypatch, error):
    monkeypatch.setattr(decoding.soundfile, "SoundFile", failing(1, error))
    assert screen(item, store)[1].kept == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OSError(errno.ESTALE, "Stale file handle"), "Stale file handle"),
        (MemoryError(), "too little memory"),
        (ImportError("no libFLAC"), "no libFLAC"),
    ],
)
def test_what_stays_is_told_and_not_kept(item, store, monkeypatch, error, told):
    with monkeypatch.context() as patch:
        patch.setattr(decoding.soundfile, "SoundFile", failing(-1, error))
        with pytest.raises(UnreadableError, match=rf"a\.wav could not be read now: .*{told}"):
            read_audio(item.path)
        with pytest.raises(DataError, match=rf"1 unreadable; first .*a\.wav.*{told}"):
            screen(item, store)
    assert not list(store.cache_dir.rglob("*.refused"))
    assert screen(item, store)[1].kept == 1


def test_a_system_error_of_a_damaged_file_is_the_files(item, monkeypatch):
    system = soundfile.LibsndfileError(2)
    monkeypatch.setattr(decoding.soundfile, "SoundFile", failing(-1, system))
    with pytest.raises(AudioError, match="not audio that can be decoded") as caught:
        read_audio(item.path)
    assert not isinstance(caught.value, UnreadableError)


@pytest.mark.parametrize(
    "error", [OSError("libllvmlite.so: failed to map segment"), ImportError("numba")]
)
def test_a_library_that_does_not_load_ends_with_that_reason(item, store, monkeypatch, error):
    def trim(*given, **named):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(screening.librosa.effects, "trim", trim)
        with pytest.raises(DataError, match=rf"on this machine now: {error}"):
            screen(item, store)
    assert not list(store.cache_dir.rglob("*.refused"))
    assert screen(item, store)[1].kept == 1


def test_too_little_memory_for_one_is_counted_not_kept(item, store, monkeypatch):
    def trim(*given, **named):
        raise MemoryError("Unable to allocate 5.7 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(screening.librosa.effects, "trim", trim)
        with pytest.raises(DataError, match=r"1 unreadable; first .*Unable to allocate 5\.7 GiB"):
            screen(item, store)
    assert screen(item, store)[1].kept == 1


def test_damage_is_still_kept(item, store):
    item.path.write_bytes(b"RIFF, but no more")
    with pytest.raises(DataError, match="1 corrupt"):
        screen(item, store)
    (kept,) = store.cache_dir.rglob("*.refused")
    assert json.loads(kept.read_text())["refused"].startswith("corrupt")
