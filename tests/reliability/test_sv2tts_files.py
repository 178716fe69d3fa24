"""Arrays, tables, weights and hyper-parameters of SV2TTS that are not as they should be."""

import errno

import numpy as np
import pytest

from myxtts.audio.silences import kept_windows, segments_of
from myxtts.data.batches import make_validation
from myxtts.data.rtvc_encoder import english_speakers
from myxtts.data.rtvc_folders import append_lines, in_processes, load_array, read_names, whole_lines
from myxtts.data.rtvc_hparams import HPARAMS, mel_spec, read_hparams
from myxtts.data.rtvc_mels import open_mels
from myxtts.data.rtvc_synthesizer import preprocess_synthesizer
from myxtts.data.synthesizer import open_synthesizer_data, read_table
from myxtts.errors import ConfigError, DataError, WeightsError
from myxtts.synthesizer_config import SynthesizerDataConfig
from myxtts.text.symbols import SymbolTokenizer

FRAMES, WIDTH = 170, 40
# A header that Python's tokenizer gives up on, where a bit was flipped in it.
HEADER = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3,(\n"
DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(256))),
    "header": lambda path: path.write_bytes(HEADER.ljust(128, b" ") + bytes(12)),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "objects": lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
    "text": lambda path: np.save(path, np.full((FRAMES, WIDTH), "a")),
    "complex": lambda path: np.save(path, np.ones((FRAMES, WIDTH), "complex64")),
    "one number": lambda path: np.save(path, np.float32(1)),
    "several": lambda path: np.savez(path.open("wb"), np.ones(3)),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}
NUMBERS = {
    "NaN": (np.nan, "holds NaN or infinite values"),
    "infinity": (np.inf, "holds NaN or infinite values"),
    "1e30": (1e30, "holds values up to 1e"),
}


def frames():
    return np.random.default_rng(0).random((FRAMES, WIDTH)).astype("float32")


@pytest.fixture
def mels(tmp_path):
    """Two speakers' frames as encoder_preprocess.py leaves them."""
    for speaker in ("a", "b"):
        (tmp_path / speaker).mkdir()
        np.save(tmp_path / speaker / "u.npy", frames())
        (tmp_path / speaker / "_sources.txt").write_text("u.npy,/x/u.wav\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_array_is_named_in_a_sentence(mels, name):
    DAMAGES[name](mels / "a" / "u.npy")
    corpus = open_mels(mels)
    with pytest.raises(DataError, match=r"a/u\.npy"):
        corpus.window(0, None)
    assert corpus.window(1, None).shape == (160, WIDTH)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_are_no_mel_are_refused(mels, name):
    value, told = NUMBERS[name]
    path = mels / "a" / "u.npy"
    np.save(path, np.where(np.arange(FRAMES)[:, None] == 7, value, frames()).astype("float32"))
    with pytest.raises(DataError, match=told):
        load_array(path, 2)
    with pytest.raises(DataError, match=told):
        open_mels(mels).window(0, None)


def test_names_that_are_no_utf8_are_read_as_they_were_written(tmp_path):
    name = b"caf\xe9.npy,/x/caf\xe9.wav".decode("utf-8", "surrogateescape")
    append_lines(tmp_path / "s.txt", [name, "b"])
    assert whole_lines(tmp_path / "s.txt") == read_names(tmp_path / "s.txt") == [name, "b"]
    assert (tmp_path / "s.txt").read_bytes() == b"caf\xe9.npy,/x/caf\xe9.wav\nb\n"


def test_a_table_of_speakers_in_another_encoding_is_read(tmp_path):
    rows = "ID\tName\tGender\tNationality\nid1\tJosé\tm\tUSA\nid2\tÉva\tf\tHungary\n"
    (tmp_path / "m.csv").write_bytes(rows.encode("latin-1"))
    assert english_speakers(tmp_path / "m.csv") == {"id1"}


TABLES = {
    "a|b\n": "is wanted",
    "a|m|e|²|5|hi\n": "is wanted",
    f"a|m|e|{'9' * 5000}|5|hi\n": "is wanted",
    "a|m|../../e.npy|9|5|hi\n": "is no name of a file here",
    "/etc/x|m|e|9|5|hi\n": "is no name of a file here",
    "a|m\0|e|9|5|hi\n": "is no name of a file here",
    "a||e|9|5|hi\n": "is no name of a file here",
    b"a|m|e|9|5|caf\xe9\n": "line 1: .*in UTF-8",
}


@pytest.mark.parametrize("content", TABLES, ids=lambda value: str(value)[:16])
def test_a_wrong_line_of_a_table_is_named(tmp_path, content):
    path = tmp_path / "train.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=TABLES[content]) as caught:
        read_table(path)
    assert f"{path}, line 1" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_one_damaged_array_is_left_out_and_counted_before_training(tmp_path):
    for name, shape in (("mels", (20, 80)), ("embeds", (256,))):
        (tmp_path / name).mkdir()
        for item in "abcd":
            np.save(tmp_path / name / f"{item}.npy", np.ones(shape, "float32"))
    lines = [f"{item}.npy|{item}.npy|{item}.npy|4000|20|hello\n" for item in "abcd"]
    (tmp_path / "train.txt").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "mels" / "b.npy").write_bytes(b"\x93NUMPY")
    np.save(tmp_path / "embeds" / "c.npy", np.ones((2, 2), "float32"))
    np.save(tmp_path / "mels" / "d.npy", np.ones((19, 80), "float32"))
    corpus, report = open_synthesizer_data(tmp_path, SynthesizerDataConfig(), SymbolTokenizer())
    assert [line.mel for line, _ in corpus.lines] == ["a.npy"]
    assert [name for name, _ in report.skipped] == ["b.npy", "c.npy", "d.npy"]
    assert all(reason.startswith("unreadable: ") for _, reason in report.skipped)


def test_one_book_with_a_strange_text_does_not_end_the_preparation(tmp_path):
    from tests.sv2tts_files import write_reference

    book = tmp_path / "LibriTTS" / "clean" / "1" / "2"
    book.mkdir(parents=True)
    for name in "abc":
        write_reference(book / f"{name}.wav")
    (book / "a.txt").write_bytes(b"caf\xe9")
    (book / "b.txt").mkdir()
    (book / "c.txt").write_text("A good one.", encoding="utf-8")
    hparams = {**HPARAMS, "trim_silence": False}
    out = tmp_path / "out"
    count = preprocess_synthesizer(
        tmp_path, out, "LibriTTS", ("clean",), hparams, aligned=False, processes=1
    )
    assert count == 1
    assert (out / "train.txt").read_text(encoding="utf-8").endswith("|A good one.\n")
    told = (out / "refused.txt").read_text(encoding="utf-8")
    assert "a.wav" in told
    assert "b.wav" in told


def test_a_clip_of_less_than_a_window_has_no_speech():
    assert not len(kept_windows(np.zeros(0, bool)))


@pytest.mark.parametrize("ends", [[0.5, np.nan, 2.0], [0.5, np.inf, np.inf], [0.5, 0.2, 2.0]])
def test_times_that_do_not_grow_are_no_alignment(ends):
    with pytest.raises(DataError, match="times of an alignment"):
        segments_of(["", "HELLO", ""], ends)


WRONG = {
    "n_fft=0": "n_fft must be from",
    "hop_size=0": "hop_size must be from",
    "sample_rate=1e999": "sample_rate is inf",
    "num_mels=-3": "num_mels must be from",
    "min_level_db=1e10": "min_level_db must be from",
    "win_size=900": "win_size must not be above n_fft",
    "fmax=9000": "fmax at most sample_rate / 2",
    "tts_cleaner_names=[[1]]": "tts_cleaner_names is",
    "tts_lstm_dims=1e300": "tts_lstm_dims is",
    f"tts_schedule={'[' * 5000}": "cannot be read",
    f"tts_schedule={'-' * 50_000}1": "cannot be read",
    f"n_fft={'9' * 5000}": "cannot be read",
    "n_fft=__import__('os')": "cannot be read",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:24])
def test_hyper_parameters_have_ranges(text):
    with pytest.raises(ConfigError, match=WRONG[text]) as caught:
        read_hparams(text)
    assert len(str(caught.value)) < 300


def test_usual_hyper_parameters_are_in_their_ranges():
    assert mel_spec(read_hparams("sample_rate=22050,fmax=8000,win_size=400")).win_length == 400


def test_no_process_is_no_number_of_processes():
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        list(in_processes(str, [1, 2], 0, "told"))


def test_what_a_batch_is_refused_for_is_told_as_it_is():
    """TensorFlow makes an error of its own of it, with a traceback in its words."""

    def build(indices, number):
        if indices[0] == 2:
            raise DataError("b.npy is damaged.")
        return {"x": np.zeros((len(indices), 1), "float32")}

    batches = iter(make_validation(np.array([1, 2, 3]), 1, build))
    assert next(batches)["x"].shape == (1, 1)
    with pytest.raises(DataError) as caught:
        list(batches)
    assert str(caught.value) == "b.npy is damaged."


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """What an ``encoder.pt`` holds."""
    pytest.importorskip("torch", reason="torch writes the files")
    from myxtts.weights.rtvc_encoder import EncoderFile, drawn, write_encoder
    from myxtts.weights.torch_file import read_torch_content

    path = tmp_path_factory.mktemp("encoder") / "encoder.pt"
    arrays = drawn(0)
    moments = {key: np.ones_like(value) for key, value in arrays.items()}
    write_encoder(path, EncoderFile(3, arrays, moments, moments, 2))
    return read_torch_content(path)


def first_state(content):
    return content["optimizer_state"]["state"][0]


SPOILT = {
    "step": (lambda content: content.update(step="x"), "'step' is no number"),
    "no step": (lambda content: content.update(step=None), "'step' is no number"),
    "infinite": (lambda content: content.update(step=float("inf")), "'step' is no number"),
    "behind zero": (lambda content: content.update(step=-4), "'step' is -4"),
    "state": (lambda content: content.update(optimizer_state="x"), "no state of an optimizer"),
    "Adam's step": (lambda content: first_state(content).update(step=[]), "no state of an optim"),
    "Adam's NaN": (
        lambda content: first_state(content).update(exp_avg=np.full(1, np.nan, "float32")),
        "Adam's state of similarity_weight",
    ),
    "Adam's shape": (
        lambda content: first_state(content).update(exp_avg=np.ones(7, "float32")),
        "Adam's state of similarity_weight",
    ),
    "loss": (
        lambda content: content["model_state"].update(similarity_bias=np.ones(3)),
        "similarity_bias is no number",
    ),
    "keys": (lambda content: content["model_state"].update({"x": 1}), "x does not fit"),
    "no arrays": (
        lambda content: content["model_state"].update({"similarity_weight": "a"}),
        "similarity_weight is no number",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_encoder_is_refused_in_a_sentence(tmp_path, encoder, name):
    import copy

    from myxtts.weights.rtvc_encoder import read_encoder
    from myxtts.weights.torch_file import write_torch_file

    spoil, told = SPOILT[name]
    content = copy.deepcopy(encoder)
    spoil(content)
    write_torch_file(tmp_path / "encoder.pt", content)
    with pytest.raises(WeightsError, match=told):
        read_encoder(tmp_path / "encoder.pt")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_converted(encoder, value):
    from myxtts.models.resemblyzer import ResemblyzerEncoder
    from myxtts.weights.resemblyzer import load

    arrays = dict(encoder["model_state"])
    arrays["linear.bias"] = np.full_like(arrays["linear.bias"], value)
    model = ResemblyzerEncoder()
    model.build()
    with pytest.raises(WeightsError, match=r"linear\.bias holds NaN"):
        load(model, arrays)


def test_weights_that_cannot_be_read_are_named_not_what_is_written(tmp_path, monkeypatch):
    from myxtts.files import replacing
    from myxtts.weights import speaker_encoders

    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(speaker_encoders, "file_sha256", fail)
    (tmp_path / "pretrained.pt").write_bytes(b"x")
    told = r"cannot read .*pretrained\.pt: Input/output error\."
    with pytest.raises(WeightsError, match=told), replacing(tmp_path / "det.png"):
        speaker_encoders.pretrained_speaker_encoder("resemblyzer", tmp_path / "pretrained.pt")
