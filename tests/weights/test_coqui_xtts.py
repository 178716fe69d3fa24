"""Coqui's checkpoint folder becomes a model with Coqui's numbers, or is refused by name."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from myxtts.config import SynthesisConfig
from myxtts.errors import WeightsError
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.weights.coqui_xtts import FILES, convert_checkpoint

TTS = pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")

RATE = 22_050


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Coqui's model and DVAE, and their folder."""
    from tests.xtts_upstream import write_checkpoint

    folder = tmp_path_factory.mktemp("XTTS-v2")
    return (*write_checkpoint(folder), folder)


@pytest.fixture(scope="module")
def converted(checkpoint) -> XTTS:
    return convert_checkpoint(checkpoint[2])


@pytest.fixture
def copy(checkpoint, tmp_path):
    """A copy of the folder, for a test to spoil."""
    return shutil.copytree(checkpoint[2], tmp_path / "copy")


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Two float WAV files at 22.05 kHz of unlike length."""
    folder, rng = tmp_path_factory.mktemp("references"), np.random.default_rng(0)
    paths = []
    for number, seconds in enumerate((5.3, 2.15)):
        time = np.arange(int(seconds * RATE)) / RATE
        tone = sum(np.sin(2 * np.pi * 120 * (1 + number) * k * time) / k for k in range(1, 9))
        audio = 0.1 * tone * (1.2 + np.sin(5 * time)) + 0.01 * rng.normal(size=len(time))
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], audio, RATE, subtype="FLOAT")
    return paths


def settings(**changes) -> SynthesisConfig:
    """Greedy speech as Coqui's ``inference(do_sample=False)`` makes it."""
    base = {"temperature": 0.0, "repetition_penalty": 5.0, "coqui_compatible": True}
    return SynthesisConfig(**base | {"seconds_per_character": 100.0} | changes)


@pytest.fixture(scope="module")
def conditioned(checkpoint, references, monkeypatch_module):
    """Coqui's latents and embedding of both references."""
    import TTS.tts.models.xtts as upstream

    def read(path, rate):
        return torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]

    # Coqui's own reader needs torchaudio's binaries.
    monkeypatch_module.setattr(upstream, "load_audio", read)
    return checkpoint[0].get_conditioning_latents(
        [str(path) for path in references], gpt_cond_len=30, gpt_cond_chunk_len=4
    )


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def relative(ours, theirs) -> float:
    theirs = np.asarray(theirs)
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


def test_a_voice_is_coquis(converted, references, conditioned):
    voice = Synthesizer(converted, settings()).condition(references)
    latents, embedding = conditioned
    assert voice.latents.shape == tuple(latents.shape)
    assert relative(voice.latents, latents) <= 1e-4
    assert relative(voice.speaker_embedding, embedding[..., 0]) <= 1e-4


def test_speech_is_coquis(checkpoint, converted, references, conditioned):
    from tests.xtts_upstream import TEXTS

    model = checkpoint[0]
    synthesizer = Synthesizer(converted, settings())
    voice = synthesizer.condition(references)
    lengths = []
    for text in TEXTS:
        theirs = model.inference(text, "en", *conditioned, do_sample=False, repetition_penalty=5.0)
        ours = synthesizer.speak(text, voice)
        assert ours.vocoder == "hifi"
        # Coqui's latents count the stop code's.
        lengths.append(len(ours.codes[0]))
        assert lengths[-1] + ours.finished[0] == theirs["gpt_latents"].shape[1]
        assert ours.waveform.shape == theirs["wav"].shape
        assert relative(ours.waveform, theirs["wav"]) <= 1e-3
        streamed = np.concatenate(list(synthesizer.stream(text, voice)))
        np.testing.assert_allclose(streamed, ours.waveform, atol=1e-4)
    assert max(lengths) > 100


def test_audio_codes_are_coquis(checkpoint, converted):
    mel = np.random.default_rng(3).normal(size=(10, 61, 80)).astype("float32")
    with torch.no_grad():
        theirs = checkpoint[1].get_codebook_indices(torch.from_numpy(mel).transpose(1, 2))
    np.testing.assert_array_equal(converted.dvae.encode(mel), theirs)


@pytest.mark.parametrize("half", [False, True])
def test_the_preset_speaks_like_the_converted_model(converted, references, tmp_path, half):
    converted.save_to_preset(tmp_path / "preset", half=half)
    again = XTTS.from_preset(tmp_path / "preset")
    assert set(again.source) == set(FILES)
    voices = [Synthesizer(item, settings()).condition(references) for item in (converted, again)]
    difference = relative(voices[1].latents, voices[0].latents)
    assert (difference == 0) != half
    assert difference < 0.02
    size = (tmp_path / "preset" / "xtts.safetensors").stat().st_size
    assert size < (60e6 if half else 120e6)


def test_a_trainers_checkpoint_is_read_too(copy):
    content = torch.load(copy / "model.pth", weights_only=False)["model"]
    dvae = torch.load(copy / "dvae.pth")
    state = {f"xtts.{key}": value for key, value in content.items()}
    state |= {f"dvae.{key}": value for key, value in dvae.items()}
    torch.save({"model": state}, copy / "model.pth")
    assert convert_checkpoint(copy).trained_steps["gpt"]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(WeightsError, match=f"lacks {name}.*hf download coqui/XTTS-v2"):
        convert_checkpoint(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpt_surprise": 1}, "gpt_surprise unknown here"),
        ({"output_sample_rate": 22_050}, "output_sample_rate is 22050; only 24000"),
        ({"gpt_use_perceiver_resampler": False}, "gpt_use_perceiver_resampler is False"),
        ({"gpt_num_audio_tokens": 8194}, "gpt_num_audio_tokens is 8194"),
    ],
)
def test_another_architecture_is_refused(copy, changes, message):
    values = json.loads((copy / "config.json").read_text())
    values["model_args"] |= changes
    (copy / "config.json").write_text(json.dumps(values))
    with pytest.raises(WeightsError, match=message):
        convert_checkpoint(copy)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("gpt.final_norm.weight", "missing final_norm.weight"),
        ("hifigan_decoder.waveform_decoder.conv_post.weight", "missing conv_post.weight"),
        ("mel_stats", "lacks mel_stats"),
    ],
)
def test_a_dropped_key_is_named(copy, key, message):
    content = torch.load(copy / "model.pth", weights_only=False)
    del content["model"][key]
    torch.save({"model": content["model"]}, copy / "model.pth")
    with pytest.raises(WeightsError, match=message):
        convert_checkpoint(copy)


def test_a_key_without_a_place_is_named(copy):
    content = torch.load(copy / "model.pth", weights_only=False)
    torch.save({"model": content["model"] | {"vocoder.x": torch.zeros(2)}}, copy / "model.pth")
    with pytest.raises(WeightsError, match=r"without a place here: vocoder\.x"):
        convert_checkpoint(copy)


def test_other_mel_statistics_are_refused(copy):
    torch.save(torch.ones(80), copy / "mel_stats.pth")
    with pytest.raises(WeightsError, match="does not hold the mel_stats"):
        convert_checkpoint(copy)
