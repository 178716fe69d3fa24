"""No recording ends a corpus: it is read, or refused in a sentence before memory is spent."""

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from myxtts.audio import decoding
from myxtts.audio.io import read_audio
from myxtts.data.formats import Utterance
from myxtts.data.rtvc_folders import load_array
from myxtts.data.screening import Screen, screen_corpus
from myxtts.data.speakers import Recording, measure
from myxtts.data.store import FeatureStore, waveform
from myxtts.digests import file_sha256
from myxtts.errors import AudioError, DataError, NotFiniteError, TooLongError
from tests.conftest import hum
from tests.memory import measures_memory

RATE = 22_050
ROOT = Path(__file__).resolve().parents[2]


def voice(seconds: float = 1.0) -> np.ndarray:
    return hum(seconds, 120, np.random.default_rng(0))


def encoded(format: str, subtype: str, channels: int = 1, rate: int = RATE) -> bytes:
    content = io.BytesIO()
    audio = np.repeat(voice()[:, None], channels, axis=1)
    soundfile.write(content, audio, rate, format=format, subtype=subtype)
    return content.getvalue()


GOOD = {
    "gsm.wav": ("WAV", "GSM610"),
    "extensible.wav": ("WAVEX", "PCM_16", 2),
    "double.wav": ("WAV", "DOUBLE"),
    "8bit.wav": ("WAV", "PCM_U8"),
    "ulaw.wav": ("WAV", "ULAW"),
    "adpcm.wav": ("WAV", "MS_ADPCM"),
    "opus.ogg": ("OGG", "OPUS", 1, 24_000),
    "aiff.wav": ("AIFF", "PCM_16"),
    "rf64.wav": ("RF64", "PCM_16"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_the_field_records_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(encoded(*GOOD[name]))
    audio, rate = read_audio(tmp_path / name)
    assert rate == (24_000 if "opus" in name else RATE)
    near = min(len(audio), RATE)
    assert near == pytest.approx(RATE, abs=700)
    assert np.corrcoef(audio[:near], voice()[:near])[0, 1] > 0.97


def test_a_flac_that_does_not_know_its_length_is_read(tmp_path):
    content = bytearray(encoded("FLAC", "PCM_16"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "piped.flac").write_bytes(content)
    np.testing.assert_allclose(read_audio(tmp_path / "piped.flac")[0], voice(), atol=1 / 32_000)
    with pytest.raises(TooLongError, match="at most 0.5 s"):
        read_audio(tmp_path / "piped.flac", longest=0.5)


CONTAINERS = {"a.m4a": ("aac", "ipod", RATE), "a.aac": ("aac", "adts", RATE)}
CONTAINERS |= {"a.webm": ("libopus", "webm", 48_000)}


def write_by_av(path: Path, codec: str, container: str, rate: int) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(voice()[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        size = stream.codec_context.frame_size or 1024
        fit = av.AudioResampler(stream.format, "mono", rate, frame_size=size)
        for part in fit.resample(frame) + fit.resample(None):
            for packet in stream.encode(part):
                file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_only_av_knows_is_read_by_it(tmp_path, name):
    write_by_av(tmp_path / name, *CONTAINERS[name])
    audio, rate = read_audio(tmp_path / name, RATE)
    assert rate == RATE
    spectrum = np.abs(np.fft.rfft(audio[4000:14_000] * np.hanning(10_000)))
    assert spectrum.argmax() * RATE / 10_000 == pytest.approx(120, abs=5)
    assert len(audio) == pytest.approx(RATE, abs=1600)
    assert len(read_audio(tmp_path / name, RATE, max_seconds=0.4)[0]) == int(0.4 * RATE)


@pytest.mark.parametrize(
    ("name", "start", "what"),
    [
        ("a.m4a", b"\0\0\0\x20ftypM4A ", "an MPEG-4 file"),
        ("a.amr", b"#!AMR\n", "an AMR file"),
        ("a.aac", b"\xff\xf1\x50\x80", "an AAC file"),
        ("a.webm", b"\x1a\x45\xdf\xa3", "matroska"),
    ],
)
def test_without_av_the_sentence_names_it(tmp_path, monkeypatch, name, start, what):
    (tmp_path / name).write_bytes(start + bytes(100))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=rf"{what}.*package av.*pip install 'myxtts\[av\]'"):
        read_audio(tmp_path / name)


@pytest.mark.parametrize("what", ["playlist", "concat", "text"])
def test_av_never_sees_a_list_of_other_files(tmp_path, what):
    texts = {"playlist": "#EXTM3U\nhttp://127.0.0.1:1/a.ts\n", "text": "words"}
    texts["concat"] = f"ffconcat version 1.0\nfile {tmp_path}/b.wav\n"
    (tmp_path / "a.m4a").write_text(texts[what])
    with pytest.raises(AudioError, match="not audio"):
        read_audio(tmp_path / "a.m4a")


def wav(rate: int, samples: bytes = bytes(44_100), channels: int = 1, told: int | None = None):
    size = len(samples) if told is None else told
    form = struct.pack("<HHIIHH", 1, channels, rate, 2 * rate * channels, 2 * channels, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt " + struct.pack("<I", 16)
    return head + form + b"data" + struct.pack("<I", size) + samples


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (wav(1), "a sample rate of 1 Hz"),
        (wav(2**31 - 1), "a sample rate of 2147483647 Hz"),
        (wav(0), "not audio|0 Hz"),
        (wav(22_050, channels=0), "not audio|no channel"),
        (wav(22_050)[:20], "not audio"),
    ],
)
@pytest.mark.parametrize("seconds", [None, 30.0])
def test_a_header_that_no_speech_has_is_named(tmp_path, content, told, seconds):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match=told):
        read_audio(tmp_path / "a.wav", RATE, seconds)


@pytest.mark.parametrize("error", [ValueError, EOFError, RuntimeError, ZeroDivisionError])
def test_any_exception_of_a_decoder_is_the_files(tmp_path, monkeypatch, error):
    (tmp_path / "a.wav").write_bytes(wav(RATE))

    def broken(*given, **named):
        raise error("array is too big")

    monkeypatch.setattr(decoding.soundfile, "SoundFile", broken)
    with pytest.raises(AudioError, match=r"a\.wav is not audio that can be decoded"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e12])
def test_numbers_that_are_no_sound_are_named(tmp_path, value):
    audio = voice()
    audio[100] = value
    soundfile.write(tmp_path / "a.wav", audio, RATE, subtype="FLOAT")
    finite = np.isfinite(value)
    with pytest.raises(AudioError if finite else NotFiniteError, match=r"a\.wav holds samples"):
        read_audio(tmp_path / "a.wav")


def test_a_corpus_of_them_is_counted(tmp_path):
    contents = {name: encoded(*GOOD[name]) for name in GOOD}
    flac = bytearray(encoded("FLAC", "PCM_16"))
    flac[21:26] = b"\xff" * 5
    contents |= {"hz.wav": wav(1), "lies.flac": bytes(flac), "a.amr": b"#!AMR\n" + bytes(50)}
    contents["garbage.mp3"] = np.random.default_rng(0).bytes(3000)
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    store = FeatureStore(Screen(0.5, 4.0), {"wave": waveform(24_000)}, tmp_path / "cache")
    items = [Utterance(tmp_path / name, "Words.", "ann", "en") for name in contents]
    usable, report = screen_corpus(
        "c", items, store, lambda utterance, clip: len(clip["wave"]) / 24_000
    )
    assert [item.path.name for item in usable] == list(GOOD)
    assert report.counts() == {"corrupt": 3, "too long": 1}
    assert dict(report.skipped)[str(tmp_path / "lies.flac")].startswith("too long: ")


def test_a_pipe_among_recordings_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "voice.wav").write_bytes(encoded("WAV", "PCM_16"))
    found = [Recording(path, "anna") for path in sorted(tmp_path.iterdir())]
    kept, report = measure(str(tmp_path), found, 0.5)
    assert [(item.path.name, item.seconds) for item in kept] == [("voice.wav", 1.0)]
    assert dict(report.skipped) == {
        str(tmp_path / "folder.wav"): f"unreadable: {tmp_path}/folder.wav is a folder; "
        "name an audio file in it.",
        str(tmp_path / "loop.wav"): f"unreadable: no audio file {tmp_path}/loop.wav.",
        str(tmp_path / "pipe.wav"): f"unreadable: no audio file {tmp_path}/pipe.wav.",
    }
    decoding.require_length(tmp_path / "pipe.wav", 1.0)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(DataError, match=r"pipe\.npy cannot be read: it is a pipe, no file\."):
        load_array(tmp_path / "pipe.npy", 2)
    with pytest.raises(OSError, match="it is a pipe, no file"):
        file_sha256(tmp_path / "pipe.npy")
    pytest.importorskip("torch", reason="the programs for Kokoro need torch")
    from tools.kokoro.voices import load_voice

    for suffix in (".npz", ".pt", ".bin"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
        with pytest.raises(DataError, match=rf"voice file .*pipe{suffix} cannot be read"):
            load_voice(tmp_path / f"pipe{suffix}")


LONG = """
import sys
from pathlib import Path
from benchmarks.measuring import forget_peak, peak_mb
from myxtts.audio.io import read_audio
from myxtts.data.formats import Utterance
from myxtts.data.rtvc_folders import load_array
from myxtts.data.screening import Screen, _judge
from myxtts.data.store import FeatureStore, waveform
from myxtts.errors import AudioError
folder = Path(sys.argv[1])
store = FeatureStore(Screen(0.5, 12.0), {"wave": waveform(24_000)}, folder / "cache")
forget_peak()
before = peak_mb()
hear = lambda utterance, clip: 1.0
print(_judge(Utterance(folder / "long.wav", "W.", "a", "en"), store, hear, lambda _: None)[1])
for seconds in (None, 30.0):
    try:
        print(len(read_audio(folder / "long.wav", 22_050, seconds)[0]))
    except AudioError as error:
        print(error)
print(peak_mb() - before)
"""


@pytest.mark.slow
@measures_memory
def test_three_hours_cost_nothing(tmp_path):
    size = 2 * RATE * 10_800
    (tmp_path / "long.wav").write_bytes(wav(RATE, b"", told=size))
    # Three hours of zeros that take no room on the disk.
    os.truncate(tmp_path / "long.wav", 44 + size)
    done = subprocess.run(
        [sys.executable, "-c", LONG, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    screened, whole, start, grown = done.stdout.splitlines()
    assert screened == "too long: 10800.00 s"
    assert "lasts 10800.0 s by its header; at most" in whole
    assert int(start) == 30 * RATE
    assert float(grown) < 100


@measures_memory
def test_the_largest_that_is_read_stays_within_the_bound(tmp_path):
    """Decoding, the mean over channels and resampling of the most samples that are decoded."""
    code = (
        "import sys; from myxtts.audio.io import read_audio;"
        "from benchmarks.measuring import forget_peak, peak_mb; forget_peak(); before = peak_mb();"
        "print(len(read_audio(sys.argv[1], 22_050)[0]), peak_mb() - before)"
    )
    samples = decoding.MOST_SAMPLES
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 24_000, 1, "PCM_16") as file:
        for _ in range(32):
            file.write(np.full(samples // 32, 3000, "int16"))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.wav")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    length, grown = map(float, done.stdout.split())
    assert length == pytest.approx(samples * 22_050 / 24_000, abs=2)
    assert grown < 500
