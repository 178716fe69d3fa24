"""A whole converted XTTS gives Coqui's numbers: live, by the golden file, and not by chance."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.upstream import parity
from benchmarks.upstream.drawn import RATE, draw_weights, draw_xtts
from myxtts.audio.io import read_audio
from myxtts.errors import WeightsError
from myxtts.weights.coqui_xtts import convert_checkpoint
from tests.golden import xtts_case

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "xtts.npz"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """Coqui's models, their folder and Coqui's results."""
    pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
    from benchmarks.upstream import coqui

    folder = tmp_path_factory.mktemp("XTTS-v2")
    model, dvae = coqui.write_checkpoint(folder)
    inputs = xtts_case.make_inputs(seed=1)
    return model, dvae, folder, coqui.results(model, dvae, folder, inputs)


@pytest.fixture(scope="module")
def converted(live):
    return convert_checkpoint(live[2])


@pytest.fixture(scope="module")
def live_comparisons(live, converted):
    theirs = live[3]
    ours = parity.results(converted, xtts_case.make_inputs(seed=1), theirs["codes"])
    return {row["name"]: row for row in parity.compare(ours, theirs)}


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """Folder of the small files, weights of the model and the DVAE, Coqui's results."""
    folder = tmp_path_factory.mktemp("golden")
    with np.load(GOLDEN) as archive:
        stored = {name: archive[name] for name in archive.files}
    for name in ("config.json", "vocab.json"):
        (folder / name).write_text(str(stored[f"file/{name}"]), encoding="utf-8")
    shapes = json.loads(str(stored["shapes"]))
    weights, dvae = draw_xtts(shapes["model"]), draw_weights(shapes["dvae"])
    dvae["codebook.embed"] = stored["codebook"]
    prefix = "output/"
    outputs = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
    return folder, weights, dvae, outputs


@pytest.fixture(scope="module")
def golden_comparisons(golden):
    return compare_golden(xtts_case.load(*golden[:3]), golden[3])


def compare_golden(model, theirs) -> dict[str, dict]:
    ours = parity.results(model, xtts_case.make_inputs(), theirs["codes"])
    return {row["name"]: row for row in parity.compare(xtts_case.thinned(ours), theirs)}


@pytest.mark.parametrize("name", parity.QUANTITIES)
def test_equals_coqui(live_comparisons, name):
    assert live_comparisons[name]["passed"], live_comparisons[name]


@pytest.mark.parametrize("name", parity.QUANTITIES)
def test_equals_the_golden_results(golden_comparisons, name):
    assert golden_comparisons[name]["passed"], golden_comparisons[name]


def test_the_audio_codes_of_ten_recordings_are_coquis(live, converted, shared_data):
    from benchmarks.upstream import coqui

    paths = sorted((shared_data / "ljspeech_mini" / "wavs").iterdir())[:10]
    clips = [read_audio(path, RATE)[0] for path in paths]
    theirs = coqui.audio_codes(live[1], live[2], clips).numpy()
    assert len(clips) == 10
    assert len(set(theirs.tolist())) > 50
    np.testing.assert_array_equal(parity.audio_codes(converted, clips), theirs)


def test_the_golden_codes_are_worth_comparing(golden):
    codes, audio_codes = golden[3]["codes"], golden[3]["audio_codes"]
    assert codes.shape == (10, 100)
    assert len(np.unique(codes, axis=0)) == 10
    assert all(len(set(row.tolist())) > 50 for row in codes)
    assert len(set(audio_codes.tolist())) > 100


def test_the_golden_file_is_small_and_says_how_it_was_made():
    assert GOLDEN.stat().st_size <= 300_000
    with np.load(GOLDEN) as archive:
        assert str(archive["command"]) == "python -m tests.golden.make_xtts"
        assert "coqui-tts" in json.loads(str(archive["versions"]))


# Square kernels that do not hear each other: shapes cannot tell them from their transposes.
SPOILT = {
    "speaker_embedding": "hifigan_decoder.speaker_encoder.layer2.1.conv2.weight",
    "codes": "gpt.gpt.h.1.attn.c_proj.weight",
    "audio_codes": "encoder.2.net.0.weight",
}


def test_transposed_kernels_would_be_noticed(golden):
    spoilt = [dict(part) for part in golden[1:3]]
    for key in SPOILT.values():
        part = next(part for part in spoilt if key in part)
        part[key] = np.swapaxes(part[key], 0, 1)
    comparisons = compare_golden(xtts_case.load(golden[0], *spoilt), golden[3])
    assert not any(comparisons[name]["passed"] for name in SPOILT)


@pytest.mark.parametrize("key", SPOILT.values())
def test_a_dropped_key_is_refused(golden, key):
    parts = [{name: part[name] for name in part if name != key} for part in golden[1:3]]
    with pytest.raises(WeightsError, match="missing"):
        xtts_case.load(golden[0], *parts)
