"""SV2TTS's synthesizer as a SavedModel: the same ids and mels as in Python, and a waveform."""

import json

import numpy as np
import pytest
import tensorflow as tf

from myxtts.audio.frontends import RTVC_SYNTHESIZER
from myxtts.audio.rtvc_griffin_lim import rtvc_griffin_lim
from myxtts.errors import CheckpointError
from myxtts.models.tacotron import Tacotron
from myxtts.serving.graph.spectrograms import GraphRtvcGriffinLim, GraphSymbols
from myxtts.serving.sv2tts import export_sv2tts
from myxtts.synthesizer_config import SYMBOLS, TacotronConfig
from myxtts.text.symbols import PHONEME_SYMBOLS, SymbolTokenizer
from tests.models.test_tacotron import TINY


@pytest.mark.parametrize("symbols", [SYMBOLS, PHONEME_SYMBOLS])
@pytest.mark.parametrize("text", ["Hello, you! ~", "Say [hˈɛɹiət. nˈW]: it's 'so'?", " “Oh”_ é"])
def test_ids_are_the_tokenizers(symbols, text):
    tokenizer = SymbolTokenizer(symbols, ("basic_cleaners",))
    assert GraphSymbols(symbols)(text).numpy().tolist() == tokenizer.encode(text)


def test_griffin_lim_has_the_magnitudes_of_pythons():
    time = np.arange(8000) / 16_000
    wave = 0.3 * np.sin(2 * np.pi * 220 * time) + 0.1 * np.sin(2 * np.pi * 1760 * time)
    from myxtts.audio.analysis import mel_of

    mel = mel_of(wave.astype("float32"), RTVC_SYNTHESIZER)
    own = GraphRtvcGriffinLim()(tf.constant(mel)).numpy()
    python = rtvc_griffin_lim(mel)
    assert own.shape == python.shape
    again, theirs = (mel_of(item, RTVC_SYNTHESIZER)[4:-4] for item in (own, python))
    loud = theirs > 0
    assert np.abs(again - theirs)[loud].mean() < 0.3


def test_an_export_speaks_as_its_seed_says(tmp_path):
    model = Tacotron(
        TacotronConfig(
            **{**vars(TINY), "symbols": SYMBOLS, "n_mels": 80, "dropout_in_speech": True}
        ),
        2,
    )
    model.build()
    folder = tmp_path / "sv2tts" / "1"
    export_sv2tts(model, folder)
    speak = tf.saved_model.load(str(folder)).signatures["serving_default"]
    given = {"text": tf.constant("ab"), "embedding": tf.ones(TINY.speaker_dims)}
    first, again, other = (speak(**given, seed=tf.constant(seed)) for seed in (1, 1, 2))
    frames = first["mel"].shape[0]
    assert first["mel"].shape == (frames, 80)
    assert first["waveform"].shape == ((frames - 1) * RTVC_SYNTHESIZER.hop_length,)
    np.testing.assert_array_equal(first["waveform"], again["waveform"])
    assert first["mel"].shape != other["mel"].shape or np.any(first["mel"] != other["mel"])
    about = json.loads((folder / "assets.extra" / "serving.json").read_text(encoding="utf-8"))
    assert about["model"] == "sv2tts" and about["sample_rate"] == 16_000
    with pytest.raises(CheckpointError, match="is there already"):
        export_sv2tts(model, folder)
