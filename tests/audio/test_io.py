"""Audio files of any kind are read; unfit ones are named."""

import numpy as np
import pytest
import soundfile

from myxtts.audio import io
from myxtts.audio.io import read_audio, resample, write_audio
from myxtts.errors import AudioError


def tone(rate: int, seconds: float = 0.5, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype("float32")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44_100, 2), (22_050, 1), (48_000, 6)])
def test_every_format_rate_and_channel_count_is_read(tmp_path, suffix, rate, channels):
    if suffix == "mp3" and channels > 2:
        pytest.skip("MP3 holds at most two channels")
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(rate, channels=channels), rate)
    audio, read_rate = read_audio(path, 16_000)
    assert read_rate == 16_000
    assert audio.dtype == np.float32
    assert audio.ndim == 1
    assert len(audio) == pytest.approx(8000, abs=1600 if suffix == "mp3" else 2)
    spectrum = np.abs(np.fft.rfft(audio[1000:5000] * np.hanning(4000)))
    assert spectrum.argmax() * 16_000 / 4000 == pytest.approx(440, abs=5)
    assert np.abs(audio[1000:5000]).max() == pytest.approx(0.5, abs=0.1)


def test_rate_is_kept_unless_another_is_asked_for(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(11_025), 11_025)
    assert read_audio(tmp_path / "a.wav")[1] == 11_025


def write_unfit(folder):
    (folder / "text.wav").write_text("no audio")
    (folder / "empty.wav").touch()
    soundfile.write(folder / "nothing.wav", np.zeros((0, 1)), 8000)
    bad = tone(8000)
    bad[7] = np.nan
    soundfile.write(folder / "nan.wav", bad, 8000, subtype="FLOAT")
    whole = folder / "whole.flac"
    soundfile.write(whole, tone(8000), 8000)
    (folder / "cut.flac").write_bytes(whole.read_bytes()[:30])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.wav", "no audio file"),
        ("text.wav", "not audio"),
        ("empty.wav", "0 bytes"),
        ("nothing.wav", "no samples"),
        ("nan.wav", "NaN"),
        ("cut.flac", "not audio"),
    ],
)
def test_unfit_files_are_named(tmp_path, name, message):
    write_unfit(tmp_path)
    with pytest.raises(AudioError, match=message) as caught:
        read_audio(tmp_path / name)
    assert name in str(caught.value)


def test_writing_and_reading_give_the_same_back(tmp_path):
    wave = tone(24_000)[:, 0]
    write_audio(tmp_path / "new" / "out.wav", wave, 24_000)
    again, rate = read_audio(tmp_path / "new" / "out.wav")
    assert rate == 24_000
    np.testing.assert_allclose(again, wave, atol=1 / 32_000)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.wav"]


def test_loud_samples_are_clipped(tmp_path):
    write_audio(tmp_path / "out.wav", np.array([2.0, -3.0, 0.0]), 8000)
    assert np.abs(read_audio(tmp_path / "out.wav")[0]).max() <= 1.0


@pytest.mark.parametrize("level", [np.nan, np.inf])
def test_unfit_samples_are_not_written(tmp_path, level):
    with pytest.raises(AudioError, match=r"out\.wav.*NaN"):
        write_audio(tmp_path / "out.wav", np.array([0.0, level]), 8000)
    assert not list(tmp_path.iterdir())


def test_interrupted_writing_keeps_the_file_that_was_there(tmp_path, monkeypatch):
    write_audio(tmp_path / "out.wav", tone(8000)[:, 0], 8000)
    before = (tmp_path / "out.wav").read_bytes()

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(io.soundfile, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_audio(tmp_path / "out.wav", np.zeros(10), 8000)
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]
    assert (tmp_path / "out.wav").read_bytes() == before


@pytest.mark.parametrize("name", ["/proc/out.wav", "out.xyz", "out.raw", "out"])
def test_unwritable_outputs_are_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AudioError, match="out"):
        write_audio(name, np.zeros(10), 8000)
    assert not list(tmp_path.iterdir())


def test_resampling_keeps_a_tone_and_its_length():
    audio = resample(tone(48_000)[:, 0], 48_000, 22_050)
    assert len(audio) == pytest.approx(0.5 * 22_050, abs=2)
    np.testing.assert_allclose(audio[2000:4000], tone(22_050)[2000:4000, 0], atol=2e-3)


def test_tensorflow_io_is_tried_first_and_never_needed(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", tone(8000), 8000)
    expected, _ = read_audio(tmp_path / "a.wav")

    class Broken:
        @property
        def audio(self):
            raise RuntimeError("built for another TensorFlow")

    monkeypatch.setattr(io, "tensorflow_io", lambda: Broken())
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], expected)


def stand_in(samples: np.ndarray):
    """A ``tensorflow_io`` that decodes every file to ``samples``."""

    class Array:
        def __init__(self, value):
            self.value = value

        def numpy(self):
            return self.value

    class Tensor:
        rate = Array(np.int32(8000))

        def __init__(self, path):
            self.path = path

        def to_tensor(self):
            return Array(samples)

    return type("package", (), {"audio": type("audio", (), {"AudioIOTensor": Tensor})})


@pytest.mark.parametrize(
    "samples", [np.array([[16_384], [-16_384]], "int16"), np.array([[0.5], [-0.5]], "float32")]
)
def test_a_working_tensorflow_io_is_used(tmp_path, monkeypatch, samples):
    soundfile.write(tmp_path / "a.wav", tone(8000), 8000)
    monkeypatch.setattr(io, "tensorflow_io", lambda: stand_in(samples))
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[0], [0.5, -0.5])


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_samples_of_unsure_scale_are_left_to_soundfile(tmp_path, monkeypatch, dtype):
    soundfile.write(tmp_path / "a.wav", tone(8000), 8000, subtype="PCM_U8")
    expected, _ = read_audio(tmp_path / "a.wav")
    monkeypatch.setattr(io, "tensorflow_io", lambda: stand_in(np.ones((5, 1), dtype)))
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], expected)
