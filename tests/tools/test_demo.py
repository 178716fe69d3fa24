"""``tools/demo.py``: speech, pictures and a report; one sentence where the model is missing."""

import numpy as np
import pytest
import soundfile

from myxtts.flags import run
from myxtts.presets import finding
from myxtts.programs import demo
from tools import demo as tool
from tools import judges


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "DATA_FILES", tmp_path / "data_files")

    def call(*words) -> int:
        options = map(str, ["--output", tmp_path / "out", *words])
        monkeypatch.setattr("sys.argv", ["demo.py", *options])
        return run(tool.main, tool.parser())

    return call


def test_the_demo_speaks_draws_and_reports(call, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "SENTENCES", ("Hello there.", "Who?"))
    monkeypatch.setattr(judges, "missing", lambda modules: ["a_judge"])
    assert call("--preset", trained.preset) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {*(f"{name}.wav" for name in tool.SPEAKERS), "speech.png", "report.txt"}
    assert soundfile.info(tmp_path / "out" / f"{tool.SPEAKERS[0]}.wav").samplerate == 24_000
    report = (tmp_path / "out" / "report.txt").read_text()
    assert report.count("not measured: a_judge is not installed (`make reference`)") == 2
    assert report.count("said   Who?") == 2


def test_words_and_voices_are_judged(trained, monkeypatch):
    heard = iter(("one too three", "one two three"))
    monkeypatch.setattr(demo, "SENTENCES", ("One two three.",))
    monkeypatch.setattr(judges, "missing", lambda modules: [])
    monkeypatch.setattr(judges, "transcribe", lambda audio, rate: next(heard))
    monkeypatch.setattr(judges, "word_errors", lambda said, heard: (int("too" in heard), 3))
    monkeypatch.setattr(judges, "ecapa_embedding", lambda clip: np.eye(2)[int(clip[0][0])])
    told = demo.speak(trained.preset, {"a": np.ones(9000, "float32"), "b": tool_reference()})
    for number, voice in enumerate(told):
        voice.reference = np.array([number])
        voice.spoken[0] = voice.spoken[0].__class__(
            **{**vars(voice.spoken[0]), "waveform": np.array([number], "float32")}
        )
    assert tool.words(told) == ["WER          16.7 % of 6 words (Whisper tiny.en)"]
    assert told[0].heard == ["one too three"]
    assert "b: 0.00 to a, 1.00 to b" in tool.likeness(told)[1]


def tool_reference() -> np.ndarray:
    return tool.references()[tool.SPEAKERS[0]]


def test_references_are_of_two_speakers_and_some_seconds():
    found = tool.references()
    assert tuple(found) == tool.SPEAKERS
    assert all(5 < len(clip) / tool.MODEL_RATE < 12 for clip in found.values())


def test_the_alignment_has_a_row_for_each_code(trained):
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.models.xtts import XTTS

    synthesizer = Synthesizer(XTTS.from_preset(trained.preset))
    voice = synthesizer.condition([tool_reference()])
    codes = np.arange(5)
    found = demo.alignment(synthesizer, "Hello.", codes, voice.latents)
    assert found.shape == (5, len(synthesizer.text_ids("Hello.")[0]))
    assert (found >= 0).all() and (found.sum(axis=1) <= 1 + 1e-5).all()


def test_without_the_shipped_model_one_sentence_names_the_other_demo(call, capsys):
    assert call() == 1
    error = capsys.readouterr().err
    assert "comes without its model" in error
    assert "make demo-train" in error
    assert "Traceback" not in error
    assert call("--preset", "nowhere") == 1
    assert "no trained model in nowhere" in capsys.readouterr().err


def test_a_model_without_voices_of_its_own_is_one_sentence(trained, tmp_path, monkeypatch, capsys):
    words = ["--preset", str(trained.preset), "--output", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["myxtts demo", *words])
    assert run(demo.main, demo.parser()) == 1
    assert "has no voices of its own for a demo" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
