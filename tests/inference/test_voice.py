"""A saved voice is the same voice, for its own model only."""

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from myxtts.errors import CheckpointError
from myxtts.inference.voice import Voice

MODEL = SimpleNamespace(fingerprint="ab" * 32)


@pytest.fixture
def voice() -> Voice:
    rng = np.random.default_rng(0)
    return Voice(
        rng.normal(size=(1, 4, 8)).astype("float32"),
        rng.normal(size=(1, 6)).astype("float32"),
        MODEL.fingerprint,
        "local:x@sha256:1",
        ("cd" * 32,),
    )


def test_a_voice_survives_its_file(voice, tmp_path):
    voice.save(tmp_path / "voices" / "anna.safetensors")
    again = Voice.load(tmp_path / "voices" / "anna.safetensors", MODEL)
    np.testing.assert_array_equal(again.latents, voice.latents)
    np.testing.assert_array_equal(again.speaker_embedding, voice.speaker_embedding)
    assert (again.encoder_provenance, again.references) == ("local:x@sha256:1", ("cd" * 32,))
    assert [path.name for path in (tmp_path / "voices").iterdir()] == ["anna.safetensors"]


def test_another_model_is_refused(voice, tmp_path):
    voice.save(tmp_path / "anna.safetensors")
    with pytest.raises(CheckpointError, match=r"anna\.safetensors was made with another model"):
        Voice.load(tmp_path / "anna.safetensors", SimpleNamespace(fingerprint="ef" * 32))


def test_other_files_are_no_voices(tmp_path):
    save_file({"a": np.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text").write_text("hello")
    for name in ("other.safetensors", "text", "missing"):
        with pytest.raises(CheckpointError, match=name):
            Voice.load(tmp_path / name, MODEL)


def test_a_voice_that_cannot_be_written_says_so(voice, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot write .*anna.* is a file"):
        voice.save(tmp_path / "file" / "anna.safetensors")
