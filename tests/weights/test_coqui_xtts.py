"""Coqui's checkpoint folder becomes a model with Coqui's numbers, or is refused by name."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from benchmarks.upstream.parity import SETTINGS, TEXTS
from myxtts.errors import WeightsError
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.weights.coqui_xtts import FILES, NEEDED, convert_checkpoint
from tests.golden.xtts_case import make_inputs

TTS = pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")

# Greedy speech as Coqui's ``inference(do_sample=False)`` makes it, bounded to two seconds.
BOUNDED = dataclasses.replace(SETTINGS, seconds_per_character=1e-6)
LONGEST = 44
# Raises the stop code's bias so that some of the texts end earlier.
STOP_BONUS = 2.9


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Coqui's model and DVAE, and their folder."""
    from benchmarks.upstream.coqui import write_checkpoint

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
def references() -> list[np.ndarray]:
    return make_inputs(seed=2).references


@pytest.fixture(scope="module")
def conditioned(checkpoint, references):
    """Coqui's latents and embedding of both references."""
    from benchmarks.upstream.coqui import condition

    return condition(checkpoint[0], references)


def relative(ours, theirs) -> float:
    theirs = np.asarray(theirs)
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


@pytest.fixture
def ending(checkpoint, converted):
    """Both models while they are readier to stop."""
    theirs, ours = checkpoint[0].gpt.mel_head.bias.data, converted.gpt.audio_head.bias
    kept = theirs.clone()
    theirs[-1] += STOP_BONUS
    ours.assign(theirs.numpy())
    yield
    theirs.copy_(kept)
    ours.assign(kept.numpy())


def test_speech_is_coquis(ending, checkpoint, converted, references, conditioned):
    synthesizer = Synthesizer(converted, BOUNDED)
    voice = synthesizer.condition(references)
    options = {"do_sample": False, "repetition_penalty": 5.0, "max_new_tokens": LONGEST}
    finished = []
    for text in TEXTS[:3]:
        theirs = checkpoint[0].inference(text, "en", *conditioned, **options)
        ours = synthesizer.speak(text, voice)
        assert ours.vocoder == "hifi"
        # Coqui's latents count the stop code's.
        finished.append(ours.finished[0])
        assert len(ours.codes[0]) + finished[-1] == theirs["gpt_latents"].shape[1]
        assert ours.waveform.shape == theirs["wav"].shape
        assert relative(ours.waveform, theirs["wav"]) <= 1e-3
    assert set(finished) == {True, False}


@pytest.mark.parametrize("half", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_preset_speaks_like_the_converted_model(converted, references, tmp_path, half):
    converted.save_to_preset(tmp_path / "preset", half=half)
    again = XTTS.from_preset(tmp_path / "preset")
    assert set(again.source) == set(FILES)
    voices = [Synthesizer(item, BOUNDED).condition(references) for item in (converted, again)]
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


@pytest.mark.parametrize("name", NEEDED)
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
