"""The three models of SV2TTS behind one call."""

import os

import numpy as np
import pytest
import soundfile

from myxtts.audio import silences
from myxtts.audio.io import hum
from myxtts.audio.silences import has_detector, raised_volume, trim_silences
from myxtts.errors import AudioError, CheckpointError, ConfigError, TextError, WeightsError
from myxtts.generation.vocoders import open_vocoder
from myxtts.inference import spectrograms, sv2tts
from myxtts.inference.spectrograms import SpectrogramSynthesizer
from myxtts.inference.sv2tts import VoiceCloner, hear, locate, tidied
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.models.tacotron import Tacotron
from myxtts.weights.rtvc_encoder import load_encoder, open_encoder, read_encoder
from tests.models.test_tacotron import TINY
from tests.sv2tts_files import SENTENCE, write_models, write_reference

RATE = 16_000


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def cloner(files):
    return VoiceCloner.open(files / "encoder.pt", files / "synthesizer.pt", files / "vocoder.pt")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(spectrograms, "LEAST_FRAMES", 30)
    monkeypatch.setattr(spectrograms, "FRAMES_A_CHARACTER", 0)


def test_a_seed_gives_the_same_waveform(cloner, tmp_path):
    own = cloner.embed(write_reference(tmp_path / "voice.wav"))
    assert own.shape == (256,) and abs(np.linalg.norm(own) - 1) < 1e-5
    first, other, again = (cloner.speak(SENTENCE, own, seed, trim=False) for seed in (1, 2, 1))
    assert first.waveform.dtype == np.float32 and first.sample_rate == RATE
    assert len(first.waveform) == 200 * (first.mel.shape[1] - 1) > 0
    assert first.seconds == len(first.waveform) / RATE
    np.testing.assert_array_equal(first.waveform, again.waveform)
    assert first.mel.shape != other.mel.shape or not np.array_equal(first.mel, other.mel)


def test_lines_are_said_one_after_the_other(cloner, monkeypatch):
    own = np.full(256, 1 / 16, "float32")
    griffin_lim = VoiceCloner(cloner.encoder, cloner.synthesizer, open_vocoder("griffin_lim"))
    said = []

    def synthesize(texts, embeddings, seed):
        said.extend(texts)
        return [np.full((80, 4 + number), 1.0, "float32") for number in range(len(texts))]

    monkeypatch.setattr(griffin_lim.synthesizer, "synthesize", synthesize)
    spoken = griffin_lim.speak(" One line.\n\nAnother.\n", own, trim=False)
    assert said == ["One line.", "Another."]
    assert spoken.mel.shape == (80, 4 + 12 + 5)
    assert np.all(spoken.mel[:, 4:16] == -4) and np.all(spoken.mel[:, 16:] == 1)
    for text in ("", " \n "):
        with pytest.raises(TextError, match="nothing to be spoken"):
            griffin_lim.speak(text, own)
    with pytest.raises(ConfigError, match="the seed must be"):
        griffin_lim.speak("a", own, seed=-1)


def test_a_reference_of_any_rate(tmp_path):
    high = hear(write_reference(tmp_path / "high.wav", rate=44_100))
    low = hear(write_reference(tmp_path / "low.wav", rate=16_000))
    assert high.dtype == np.float32 and abs(len(high) - len(low)) <= 480
    np.testing.assert_allclose(high[4000:8000], low[4000:8000], atol=2e-3)
    wave = 0.5 * hum(2.0, 120, 44_100)
    np.testing.assert_allclose(hear(wave, 44_100), high, atol=2e-4)
    with pytest.raises(ConfigError, match="sample_rate"):
        hear(wave)


def test_references_that_hold_no_voice(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(AudioError, match=r"silent.wav is silent"):
        hear(tmp_path / "silent.wav")
    with pytest.raises(AudioError, match="no audio file"):
        hear(tmp_path / "nowhere.wav")
    monkeypatch.setattr(sv2tts, "has_detector", lambda: True)
    monkeypatch.setattr(sv2tts, "trim_silences", lambda wave: wave[:0])
    with pytest.raises(AudioError, match="has no speech"):
        hear(hum(1.0, 100, RATE), RATE)


def test_what_was_made_is_tidied_as_in_the_original(monkeypatch):
    quiet = np.concatenate([0.001 * hum(1.5, 120, RATE), np.zeros(RATE, "float32")])
    if has_detector():
        wanted = trim_silences(raised_volume(np.pad(quiet, (0, RATE))))
        made = tidied(quiet, RATE)
        np.testing.assert_array_equal(made, wanted)
        assert 0 < len(made) < len(quiet)
    assert not np.any(tidied(np.zeros(100, "float32"), RATE))
    # Nothing is cut where nothing would be left, nor at rates that the detector does not hear.
    monkeypatch.setattr(sv2tts, "trim_silences", lambda wave: wave[:0])
    assert len(tidied(quiet, RATE)) == len(quiet) == len(tidied(quiet, 24_000))
    power = np.mean(np.square(tidied(quiet, 24_000), dtype="float64"))
    assert abs(10 * np.log10(power) - silences.TARGET_DBFS) < 0.01


def test_every_place_of_a_model_is_found(files, tmp_path):
    path = tmp_path / "run"
    encoder = PretrainedSpeakerEncoder("resemblyzer")
    encoder.build()
    load_encoder(encoder.encoder, read_encoder(files / "encoder.pt"))
    encoder.provenance = "local:encoder.pt"
    encoder.save_to_preset(path / "preset")
    assert locate(files, "vocoder") == files / "vocoder.pt"
    assert locate(files / "vocoder.pt", "vocoder") == files / "vocoder.pt"
    assert locate(path, "speaker_encoder") == locate(path / "preset", "speaker_encoder")
    # A run that went on behind its preset has a newer file.
    (path / "encoder.pt").write_bytes((files / "encoder.pt").read_bytes())
    made = (path / "preset" / sv2tts.MANIFEST).stat().st_mtime
    for later, found in ((-9, path / "preset"), (9, path / "encoder.pt")):
        os.utime(path / "encoder.pt", (made + later, made + later))
        assert locate(path, "speaker_encoder") == found
    (path / "encoder.pt").unlink()
    opened = sv2tts._open_encoder(locate(path, "speaker_encoder"))
    wave = hear(hum(3.0, 120, RATE), RATE)
    wanted = open_encoder(files / "encoder.pt")(wave[None])
    np.testing.assert_allclose(opened(wave[None]), wanted, atol=1e-6)
    with pytest.raises(CheckpointError, match="holds a speaker encoder where a vocoder is wanted"):
        locate(path, "vocoder")
    with pytest.raises(CheckpointError, match="holds none where"):
        locate(tmp_path, "vocoder")
    with pytest.raises(WeightsError, match=r"no synthesizer .*nowhere.pt: a synthesizer.pt"):
        locate(tmp_path / "nowhere.pt", "synthesizer")


@pytest.mark.parametrize(
    "names",
    [("vocoder", "synthesizer", "vocoder"), ("encoder", "encoder", "vocoder")]
    + [("encoder", "synthesizer", "synthesizer")],
)
def test_a_file_of_another_kind_is_refused(files, names):
    with pytest.raises(WeightsError, match=r"^\S*\.pt (is|holds) "):
        VoiceCloner.open(*(files / f"{name}.pt" for name in names))


def test_models_must_fit(cloner):
    small = Tacotron(TINY)
    small.build()
    with pytest.raises(ConfigError, match="embeddings of 256 numbers, the synthesizer wants 4"):
        VoiceCloner(cloner.encoder, SpectrogramSynthesizer(small), cloner.vocoder)
    vocoder = open_vocoder("griffin_lim")
    vocoder.n_mels = 5
    with pytest.raises(ConfigError, match="mels of 80 channels, the vocoder wants 5"):
        VoiceCloner(cloner.encoder, cloner.synthesizer, vocoder)


def test_a_line_of_dashes_between_others_is_passed_over(cloner, monkeypatch):
    said = []

    def synthesize(lines, embedding, seed):
        said.extend(lines)
        return [np.zeros((80, 20), "float32") for _ in lines]

    monkeypatch.setattr(cloner.synthesizer, "synthesize", synthesize)
    cloner.synthesizer.takes = []
    cloner.speak("Hello.\n---\nBye.", np.ones(256, "float32"))
    assert said == ["Hello.", "Bye."]
