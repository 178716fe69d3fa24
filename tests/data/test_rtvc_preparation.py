"""RTVC's folders: mels for the encoder, audio and mels for the synthesizer."""

import io

import numpy as np
import pytest
import soundfile

from myxtts.audio.analysis import mel_of
from myxtts.audio.frontends import RTVC_SYNTHESIZER
from myxtts.data import rtvc_encoder
from myxtts.data.rtvc_encoder import frames_of, preprocess_encoder
from myxtts.data.rtvc_hparams import HPARAMS, mel_spec, read_hparams, splitting
from myxtts.data.rtvc_synthesizer import preprocess_synthesizer
from myxtts.errors import ConfigError, DataError

RATE = 16_000
UNTRIMMED = {**HPARAMS, "trim_silence": False}


def write(path, seconds: float, level: float = 0.3):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path.name)))
    soundfile.write(path, level * rng.uniform(-1, 1, int(seconds * RATE)), RATE)


@pytest.fixture
def untrimmed(monkeypatch):
    """Noise is no speech; the detector would leave nothing of it."""
    for room in ("rtvc_encoder", "rtvc_synthesizer"):
        monkeypatch.setattr(f"myxtts.data.{room}.has_detector", lambda: False)


@pytest.fixture
def tree(tmp_path, untrimmed):
    other = tmp_path / "LibriSpeech" / "train-other-500"
    write(other / "103" / "1240" / "103-1240-0000.flac", 2.0)
    write(other / "103" / "1240" / "103-1240-0001.flac", 1.0)
    write(other / "7" / "a,b" / "7,1.wav", 2.5)
    write(other / "9" / "1" / "silent.wav", 2.0, level=0.0)
    return tmp_path


def test_encoder_folders(tree, tmp_path):
    out = tmp_path / "encoder"
    assert preprocess_encoder(tree, out, ("librispeech_other", "voxceleb2"), processes=1) == 2
    speaker = out / "LibriSpeech_train-other-500_103"
    source = tree / "LibriSpeech/train-other-500/103/1240/103-1240-0000.flac"
    name = "1240_103-1240-0000.npy"
    assert (speaker / "_sources.txt").read_text() == f"{name},{source}\n"
    frames = np.load(speaker / name)
    assert frames.dtype == np.float32 and frames.shape == (201, 40)
    line = (out / "LibriSpeech_train-other-500_7" / "_sources.txt").read_text().strip()
    assert frames_of(line) == "a,b_7,1.npy"
    assert np.load(out / "LibriSpeech_train-other-500_7" / frames_of(line)).shape == (251, 40)
    assert not (out / "LibriSpeech_train-other-500_9").exists()
    refused = (out / "refused.txt").read_text()
    assert "too short: 101 frames" in refused and "silent" in refused
    log = (out / "Log_LibriSpeech_train-other-500.txt").read_text()
    assert "min 2.000, max 2.500" in log and "mel_n_channels: 40" in log


def test_encoder_goes_on(tree, tmp_path):
    out = tmp_path / "encoder"
    assert preprocess_encoder(tree, out, ("librispeech_other",), processes=1) == 2
    speaker = out / "LibriSpeech_train-other-500_103"
    first = (speaker / "1240_103-1240-0000.npy").stat().st_mtime_ns
    with (speaker / "_sources.txt").open("a") as file:
        file.write("half a li")
    write(tree / "LibriSpeech/train-other-500/103/1240/new.flac", 2.0)
    assert preprocess_encoder(tree, out, ("librispeech_other",), True, processes=1) == 3
    assert (speaker / "1240_103-1240-0000.npy").stat().st_mtime_ns == first
    lines = (speaker / "_sources.txt").read_text().splitlines()
    assert [frames_of(line) for line in lines] == ["1240_103-1240-0000.npy", "1240_new.npy"]


def test_voxceleb(tmp_path, untrimmed):
    root = tmp_path / "VoxCeleb1"
    for name in ("id1", "id2"):
        write(root / "wav" / name / "video" / "00001.wav", 2.0)
    with pytest.raises(DataError, match="vox1_meta.csv is not there"):
        preprocess_encoder(tmp_path, tmp_path / "out", ("voxceleb1",), processes=1)
    table = (
        "VoxCeleb1 ID\tname\tGender\tNationality\tSet\nid1\tA\tm\tUK\tdev\nid2\tB\tf\tItaly\tdev\n"
    )
    (root / "vox1_meta.csv").write_text(table)
    assert preprocess_encoder(tmp_path, tmp_path / "out", ("voxceleb1",), processes=1) == 1
    assert (tmp_path / "out" / "VoxCeleb1_wav_id1" / "video_00001.npy").is_file()


def test_what_the_encoder_cannot_be_given(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'voxceleb"):
        preprocess_encoder(tmp_path, tmp_path, ("voxceleb",))
    with pytest.raises(DataError, match="gave no utterance"):
        preprocess_encoder(tmp_path, tmp_path / "out", ("voxceleb2",))


def libritts(root):
    book = root / "LibriTTS" / "train-clean-100" / "p1" / "b"
    write(book / "one.wav", 2.0)
    (book / "one.txt").write_text('"Please" call\n Stella. ')
    write(book / "two.flac", 2.0)
    (book / "two.normalized.txt").write_text("Ask her")
    write(book / "three.wav", 2.0)
    write(book / "short.wav", 1.0)
    (book / "short.txt").write_text("Short.")
    return book


def prepare(root, out, **given):
    given = {"hparams": UNTRIMMED, "aligned": False, "processes": 1} | given
    return preprocess_synthesizer(root, out, "LibriTTS", ("train-clean-100",), **given)


def test_synthesizer_folders(tmp_path, untrimmed):
    libritts(tmp_path)
    out = tmp_path / "syn"
    assert prepare(tmp_path, out) == 2
    assert (out / "train.txt").read_text() == (
        "audio-one.npy|mel-one.npy|embed-one.npy|32000|161|Please call Stella.\n"
        "audio-two.npy|mel-two.npy|embed-two.npy|32000|161|Ask her\n"
    )
    audio, mel = np.load(out / "audio" / "audio-one.npy"), np.load(out / "mels" / "mel-one.npy")
    assert audio.dtype == mel.dtype == np.float32 and np.abs(audio).max() == np.float32(0.9)
    np.testing.assert_array_equal(mel, mel_of(audio, RTVC_SYNTHESIZER))
    refused = (out / "refused.txt").read_text()
    assert "no three.txt" in refused and "too short: 1.00 s" in refused
    stored = io.BytesIO()
    np.save(stored, audio)
    assert (out / "audio" / "audio-one.npy").read_bytes() == stored.getvalue()


def test_synthesizer_goes_on(tmp_path, untrimmed):
    libritts(tmp_path)
    out = tmp_path / "syn"
    prepare(tmp_path, out)
    whole = (out / "train.txt").read_text()
    (out / "mels" / "mel-two.npy").unlink()
    (out / "train.txt").write_text(whole[:-9])
    kept = (out / "audio" / "audio-one.npy").stat().st_mtime_ns
    assert prepare(tmp_path, out, skip_existing=True) == 2
    assert (out / "train.txt").read_text() == whole
    assert (out / "audio" / "audio-one.npy").stat().st_mtime_ns == kept


def test_alignments(tmp_path, untrimmed):
    book = tmp_path / "LibriSpeech" / "train-clean-100" / "84" / "121"
    write(book / "84-121-0000.flac", 7.5)
    out = tmp_path / "syn"
    given = {"hparams": UNTRIMMED, "subfolders": ("train-clean-100",), "processes": 1}
    with pytest.raises(DataError, match="has no alignments"):
        preprocess_synthesizer(tmp_path, out, **given)
    (book / "84-121.alignment.txt").write_text(
        '84-121-0000 ",A,,B,,C," "0.5,1.0,1.5,3.5,4.0,7.0,7.5"\n84-121-0001 ",X," "0.1,1,2"\nbad\n'
    )
    assert preprocess_synthesizer(tmp_path, out, **given) == 2
    lines = (out / "train.txt").read_text().splitlines()
    assert [line.split("|")[0::5] for line in lines] == [
        ["audio-84-121-0000_00.npy", "A B"],
        ["audio-84-121-0000_01.npy", "C"],
    ]
    assert [line.split("|")[3] for line in lines] == ["48000", "48000"]
    refused = (out / "refused.txt").read_text()
    assert "no line of an alignment: bad" in refused and "84-121-0001.flac" in refused


def test_processes_give_the_same(tmp_path, untrimmed):
    libritts(tmp_path)
    other = tmp_path / "LibriTTS" / "train-clean-100" / "p2" / "c"
    write(other / "four.wav", 2.0)
    (other / "four.txt").write_text("Four.")
    assert prepare(tmp_path, tmp_path / "a") == prepare(tmp_path, tmp_path / "b", processes=2) == 3
    for name in ("train.txt", "mels/mel-four.npy", "audio/audio-one.npy", "refused.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_recordings_of_one_name_are_not_one(tmp_path, untrimmed):
    """Speakers whose recordings are numbered from one; another comes later."""
    root, out = tmp_path / "LibriTTS" / "train-clean-100", tmp_path / "syn"

    def record(speaker, text, name="001", suffix="wav"):
        write(root / speaker / "b" / f"{name}.{suffix}", 2.0 + len(text) / 10)
        (root / speaker / "b" / f"{name}.txt").write_text(text)

    def spoken():
        lines = [line.split("|") for line in (out / "train.txt").read_text().splitlines()]
        return {name: (int(size), text) for name, _, _, size, _, text in lines}

    record("p1", "A")
    assert prepare(tmp_path, out) == 1 and set(spoken()) == {"audio-001.npy"}
    record("p2", "Bee")
    record("p2", "Seventh", "own")
    record("p2", "Seventh", "own", "flac")
    assert prepare(tmp_path, out, skip_existing=True) == 3
    wanted = {
        "audio-p1_b_001.npy": (33_600, "A"),
        "audio-p2_b_001.npy": (36_800, "Bee"),
        "audio-p2_b_own.npy": (43_200, "Seventh"),
    }
    assert spoken() == wanted
    for name, (size, _) in wanted.items():
        assert len(np.load(out / "audio" / name)) == size
    assert (out / "refused.txt").read_text().count("another recording has its name") == 1
    assert prepare(tmp_path, out, skip_existing=True) == 3 and spoken() == wanted
    assert (out / "refused.txt").read_text().count("another recording has its name") == 1
    assert prepare(tmp_path, out) == 3 and spoken() == wanted


def test_a_name_that_cannot_be_listed_is_refused(tmp_path, untrimmed):
    book = libritts(tmp_path)
    write(book / "a|b.wav", 2.0)
    (book / "a|b.txt").write_text("Bar.")
    assert prepare(tmp_path, tmp_path / "syn") == 2
    assert "its name has a | or a line break" in (tmp_path / "syn" / "refused.txt").read_text()


def test_a_table_stays_until_there_is_another(tree, tmp_path, caplog):
    libritts(tmp_path)
    out = tmp_path / "syn"
    prepare(tmp_path, out)
    whole = (out / "train.txt").read_text()
    with pytest.raises(DataError, match="has no alignments"):
        prepare(tmp_path, out, aligned=True)
    assert (out / "train.txt").read_text() == whole
    given = {"hparams": UNTRIMMED, "aligned": False, "processes": 1}
    both = ("train-clean-100", "train-clean-36O")
    assert preprocess_synthesizer(tmp_path, out, "LibriTTS", both, **given) == 2
    assert "train-clean-36O has no folders of speakers" in caplog.text


def test_speakers_stay_until_they_are_prepared_anew(tree, tmp_path, monkeypatch):
    out, own = tmp_path / "encoder", rtvc_encoder.prepare_speaker
    preprocess_encoder(tree, out, ("librispeech_other",), processes=1)
    before = {path: path.read_text() for path in out.rglob("_sources.txt")}
    assert len(before) == 2

    def broken(task):
        if task.source.name == "7":
            raise KeyboardInterrupt
        return own(task)

    monkeypatch.setattr(rtvc_encoder, "prepare_speaker", broken)
    with pytest.raises(KeyboardInterrupt):
        preprocess_encoder(tree, out, ("librispeech_other",), processes=1)
    assert {path: path.read_text() for path in out.rglob("_sources.txt")} == before


def test_whole_numbers_stay_whole():
    values = read_hparams("hop_size=200.0, n_fft=1024.0")
    assert [type(values[name]) for name in ("hop_size", "n_fft")] == [int, int]


def test_hparams():
    read = read_hparams("tts_schedule=[(2,1e-3,10,4),(1,1e-4,20,4)],fmin=60,rescale=False")
    assert read["tts_schedule"] == [(2, 1e-3, 10, 4), (1, 1e-4, 20, 4)]
    assert read["fmin"] == 60 and read["rescale"] is False and read["hop_size"] == 200
    assert read_hparams("") == HPARAMS
    assert mel_spec(HPARAMS) == RTVC_SYNTHESIZER and splitting(HPARAMS).longest == 11.25


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hop_sise=100", "did you mean 'hop_size'"),
        ("fmin", "cannot be read"),
        ("fmin=low", "cannot be read"),
        ("fmin='low'", "a value such as 55"),
        ("use_lws=True", "can only be False"),
    ],
)
def test_wrong_hparams(text, said):
    with pytest.raises(ConfigError, match=said):
        read_hparams(text)
