"""``inference_main.py`` and ``train_main.py`` as a user meets them."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from myxtts.errors import ConfigError
from myxtts.flags import run
from myxtts.inference import command as speak
from myxtts.training import command as training


def call(module, monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["prog", *map(str, words)])
    try:
        return run(module.main, module.parser())
    except SystemExit as stop:
        return stop.code


@pytest.fixture
def speak_words(trained, corpus, tmp_path):
    """Arguments of a call that works."""
    return {
        "--text": "Hello there.",
        "--reference-audio": corpus / "clip_0.wav",
        "--checkpoint": trained.preset,
        "--output": tmp_path / "out.wav",
        "--vocoder": "griffin_lim",
    }


def words(options: dict) -> list:
    return [word for pair in options.items() for word in pair]


def test_speaking_writes_audio_and_one_json_line(speak_words, monkeypatch, capsys):
    assert call(speak, monkeypatch, *words(speak_words), "--json") == 0
    result = json.loads(capsys.readouterr().out)
    info = soundfile.info(result["output"])
    assert info.samplerate == 24_000
    assert result["duration"] == pytest.approx(info.duration, abs=0.01)
    assert set(result) == {"output", "duration", "rtf", "vocoder", "finished", "similarity"}


def test_run_folder_and_text_file_work_too(speak_words, monkeypatch, tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text("Hello there. And again.", encoding="utf-8")
    del speak_words["--text"]
    speak_words["--checkpoint-dir"] = speak_words.pop("--checkpoint").parent
    assert call(speak, monkeypatch, *words(speak_words), "--text-file", path) == 0
    assert capsys.readouterr().out.strip() == str(speak_words["--output"])


def unfit_audio(folder):
    (folder / "text.wav").write_text("This is no audio at all.")
    (folder / "empty.wav").touch()
    samples = np.full(22_050, np.nan, "float32")
    soundfile.write(folder / "nan.wav", samples, 22_050, subtype="FLOAT")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--text": ""}, "is empty"),
        ({"--text": "..."}, "nothing that can be spoken"),
        ({"--language": "klingon"}, "unknown language 'klingon'"),
        ({"--reference-audio": "text.wav"}, "not audio"),
        ({"--reference-audio": "empty.wav"}, "0 bytes"),
        ({"--reference-audio": "nan.wav"}, "NaN"),
        ({"--reference-audio": "absent.wav"}, "no audio file"),
        ({"--checkpoint": "nowhere"}, "no trained model"),
        ({"--output": "/proc/out.wav"}, "cannot write"),
        ({"--output": "out.xyz"}, "no audio format"),
        ({"--top-p": "1.5"}, "top_p"),
        ({"--speaker-encoder-type": "resemblyzer"}, "original audio encoder"),
        ({"--first-codes": 4}, "--first-codes is for --stream"),
    ],
)
def test_bad_input_is_one_sentence(speak_words, monkeypatch, tmp_path, capsys, changes, message):
    unfit_audio(tmp_path)
    monkeypatch.chdir(tmp_path)
    status = call(speak, monkeypatch, *words(speak_words | changes))
    error = capsys.readouterr().err
    assert status in (1, 2)
    assert message in error
    assert "Traceback" not in error


def test_weights_of_another_configuration_are_refused(
    speak_words, trained, monkeypatch, tmp_path, capsys
):
    folder = tmp_path / "mixed"
    shutil.copytree(trained.preset, folder)
    text = (folder / "config.yaml").read_text().replace("layers: 2", "layers: 3")
    (folder / "config.yaml").write_text(text)
    assert call(speak, monkeypatch, *words(speak_words | {"--checkpoint": folder})) == 1
    assert "another configuration" in capsys.readouterr().err


def test_truncated_weights_are_refused(speak_words, trained, monkeypatch, tmp_path, capsys):
    folder = tmp_path / "cut"
    shutil.copytree(trained.preset, folder)
    content = (folder / "xtts.safetensors").read_bytes()
    (folder / "xtts.safetensors").write_bytes(content[: len(content) // 2])
    assert call(speak, monkeypatch, *words(speak_words | {"--checkpoint": folder})) == 1
    assert "damaged" in capsys.readouterr().err


def test_dry_run_prints_the_resolved_configuration(monkeypatch, capsys, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("training: {seed: 5, gpt: {steps: 7}}")
    options = ["--preset", "tiny", "--config", path, "--gpt-steps", "9", "--dry-run"]
    assert call(training, monkeypatch, *options) == 0
    printed = capsys.readouterr().out
    assert "seed: 5" in printed
    assert "steps: 9" in printed
    assert "model_dim: 192" in printed


def test_a_resumed_run_brings_its_own_configuration(monkeypatch, capsys, tmp_path):
    (tmp_path / "config.yaml").write_text("model: {gpt: {layers: 3}}")
    options = ["--output-dir", tmp_path, "--dry-run"]
    assert call(training, monkeypatch, *options, "--resume", "--gpt-steps", "9") == 0
    resumed = capsys.readouterr().out
    assert "layers: 3" in resumed
    assert "steps: 9" in resumed
    assert call(training, monkeypatch, *options) == 0
    assert "layers: 3" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--train-data"),
        (["--train-data", "absent"], "does not exist"),
        (["--train-data", "void"], "is empty"),
        (["--train-data", "lost"], "no usable utterance"),
        (["--config", "typo.yaml"], "did you mean 'gpt'"),
        (["--config", "absent.yaml"], "cannot read"),
    ],
)
def test_bad_training_input_is_one_sentence(monkeypatch, tmp_path, capsys, options, message):
    (tmp_path / "void").mkdir()
    (tmp_path / "lost").mkdir()
    line = {"file_name": "absent.wav", "text": "Nobody said this."}
    (tmp_path / "lost" / "metadata.jsonl").write_text(json.dumps(line))
    (tmp_path / "typo.yaml").write_text("model: {gtp: {layers: 2}}")
    monkeypatch.chdir(tmp_path)
    assert call(training, monkeypatch, *options) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_contradicting_encoder_flags_are_refused(micro_config, tmp_path):
    with pytest.raises(ConfigError, match="contradict each other"):
        speak.check_encoder(micro_config, False, "coqui", tmp_path)


def test_a_kept_voice_streams_the_same_speech(speak_words, monkeypatch, tmp_path):
    speak_words |= {"--retries": 0, "--vocoder": "hifi"}
    kept = tmp_path / "anna.safetensors"
    assert call(speak, monkeypatch, *words(speak_words), "--save-voice", kept) == 0
    spoken, _ = soundfile.read(speak_words["--output"])
    del speak_words["--reference-audio"]
    speak_words |= {"--voice": kept, "--output": tmp_path / "stream.wav"}
    assert call(speak, monkeypatch, *words(speak_words), "--stream") == 0
    streamed, rate = soundfile.read(tmp_path / "stream.wav")
    assert rate == 24_000
    np.testing.assert_allclose(streamed, spoken, atol=1e-3)


def test_a_stream_that_cannot_be_written_is_one_sentence(speak_words, monkeypatch, capsys):
    speak_words["--output"] = "out.xyz"
    assert call(speak, monkeypatch, *words(speak_words), "--stream") == 1
    assert "out.xyz" in capsys.readouterr().err


def test_an_older_file_stays_until_a_stream_has_begun(speak_words, monkeypatch, capsys):
    speak_words["--output"].write_bytes(b"older")
    changes = {"--text": "...", "--vocoder": "hifi"}
    assert call(speak, monkeypatch, *words(speak_words | changes), "--stream") == 1
    assert "nothing that can be spoken" in capsys.readouterr().err
    assert speak_words["--output"].read_bytes() == b"older"


def test_a_stream_that_was_cut_has_not_finished(speak_words, monkeypatch, capsys):
    monkeypatch.setattr("myxtts.inference.synthesizer.repeats", lambda *of: np.array([True]))
    changes = {"--vocoder": "hifi", "--min-seconds-per-character": 0.1}
    assert call(speak, monkeypatch, *words(speak_words | changes), "--stream", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["finished"] is False


def test_a_stream_that_breaks_is_no_success_and_keeps_what_was_said(
    speak_words, monkeypatch, capsys
):
    from myxtts.errors import TextError
    from myxtts.inference.synthesizer import Synthesizer

    def chunks(self, attempt, voice, language):
        yield np.ones(2400, "float32")
        raise TextError("the line is dead.")

    monkeypatch.setattr(Synthesizer, "_hifi_chunks", chunks)
    options = words(speak_words | {"--vocoder": "hifi"})
    assert call(speak, monkeypatch, *options, "--stream", "--json") == 1
    told = capsys.readouterr()
    assert "the line is dead" in told.err
    assert told.out == ""
    assert soundfile.info(speak_words["--output"]).frames == 2400


def test_streams_in_chunks_want_the_hifi_vocoder(speak_words, monkeypatch, capsys):
    options = words(speak_words | {"--stream-codes": 9})
    assert call(speak, monkeypatch, *options, "--stream") == 2
    assert "--stream-codes is for the hifi vocoder; griffin_lim" in capsys.readouterr().err


def test_how_references_are_heard_is_not_asked_of_a_kept_voice(speak_words, monkeypatch, capsys):
    del speak_words["--reference-audio"]
    options = words(speak_words | {"--voice": "anna.safetensors", "--gpt-cond-len": 4})
    assert call(speak, monkeypatch, *options) == 2
    assert "--gpt-cond-len is for --reference-audio" in capsys.readouterr().err


def test_the_old_name_of_preset_says_so_once(speak_words, monkeypatch, caplog):
    caplog.set_level("INFO")
    assert call(speak, monkeypatch, *words(speak_words)) == 0
    assert caplog.text.count("--checkpoint is called --preset now") == 1


def test_a_preset_is_found_by_its_name(speak_words, trained, monkeypatch, tmp_path, capsys):
    del speak_words["--checkpoint"]
    (tmp_path / "presets").mkdir()
    shutil.copytree(trained.preset, tmp_path / "presets" / "anna")
    monkeypatch.chdir(tmp_path)
    assert call(speak, monkeypatch, *words(speak_words), "--preset", "anna") == 0
    assert call(speak, monkeypatch, *words(speak_words), "--preset", "ben") == 1
    assert "no trained model in ben" in capsys.readouterr().err


@pytest.fixture
def shipped(trained, corpus, tmp_path, monkeypatch):
    """The trained model as if it came with the package, with two voices of its own."""
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.models.xtts import XTTS
    from myxtts.presets import finding
    from myxtts.presets.voices import PresetVoice, file_of, write_list

    folder = shutil.copytree(trained.preset, tmp_path / "data_files" / finding.SHIPPED)
    monkeypatch.setattr(finding, "DATA_FILES", folder.parent)
    synthesizer = Synthesizer(XTTS.from_preset(folder))
    for number, name in enumerate(("anna", "ben")):
        voice = synthesizer.condition([corpus / f"clip_{number}.wav"])
        voice.save(file_of(folder, name))
    write_list(folder, [PresetVoice("anna", "a hum"), PresetVoice("ben")])
    return folder


def test_the_shipped_model_speaks_in_its_own_voices(shipped, monkeypatch, tmp_path, capsys):
    spoken = {}
    for name in (None, "anna", "ben"):
        output = tmp_path / f"{name}.wav"
        options = ["--text", "Hello.", "--output", output, *(["--voice", name] if name else [])]
        assert call(speak, monkeypatch, *options) == 0
        spoken[name] = soundfile.read(output)[0]
    np.testing.assert_array_equal(spoken[None], spoken["anna"])
    assert not np.array_equal(spoken["anna"], spoken["ben"])
    assert call(speak, monkeypatch, "--text", "Hello.", "--voice", "carl") == 1
    assert "there is no voice carl" in capsys.readouterr().err


def test_the_shipped_model_is_the_synthesizers_own(shipped):
    import myxtts

    synthesizer = myxtts.Synthesizer()
    assert synthesizer.model.preset == shipped
    spoken = synthesizer.speak("Hello.")
    again = synthesizer.speak("Hello.", synthesizer.voice("anna"))
    np.testing.assert_array_equal(spoken.waveform, again.waveform)


def test_voices_are_listed(shipped, trained, monkeypatch, capsys):
    assert call(speak, monkeypatch, "--list-voices") == 0
    assert capsys.readouterr().out.splitlines() == ["anna       a hum", "ben"]
    assert call(speak, monkeypatch, "--list-voices", "--json") == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["anna", "ben"]
    assert call(speak, monkeypatch, "--list-voices", "--preset", trained.preset) == 0
    assert capsys.readouterr().out == ""


def test_without_text_or_voice_one_sentence_says_what_lacks(trained, monkeypatch, capsys):
    assert call(speak, monkeypatch, "--preset", trained.preset) == 2
    assert "give --text or --text-file" in capsys.readouterr().err
    assert call(speak, monkeypatch, "--preset", trained.preset, "--text", "Hello.") == 1
    assert "no voices of its own: give --reference-audio" in capsys.readouterr().err
