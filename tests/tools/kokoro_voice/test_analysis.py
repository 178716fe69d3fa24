"""What the voices say of themselves, made up and real."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the voice optimiser is torch's")
pytest.importorskip("sklearn", reason="principal components come from scikit-learn")

from tests.tools.kokoro.fakes import fake_voices  # noqa: E402
from tools.kokoro_voice.analysis import (  # noqa: E402
    VariableWeightAnalyzer,
    describe,
    draw,
    summary,
)


def test_variance_dimensions_and_centroid():
    voices = fake_voices()
    for number, voice in enumerate(voices.values()):
        voice[..., 17] = 10.0 * number
        voice[..., 130] = 20.0 * number
    analyzer = VariableWeightAnalyzer(voices)
    assert analyzer.top_dimensions(2).tolist() == [130, 17]
    assert analyzer.variance().shape == (256,)
    assert analyzer.prosody_ratio() > 1
    assert analyzer.median_centroid().shape == (510, 1, 256)
    assert analyzer.median_centroid()[3, 0, 17] == 35
    assert analyzer.components_for(0.9) == 1


def test_every_row_alike_makes_replicate_harmless():
    voices = {name: np.repeat(v[:1], 510, axis=0) for name, v in fake_voices().items()}
    assert "replicate loses nothing" in describe(VariableWeightAnalyzer(voices))


def test_the_picture_is_drawn(tmp_path):
    draw(tmp_path / "voices.png", VariableWeightAnalyzer(fake_voices()))
    assert (tmp_path / "voices.png").read_bytes().startswith(b"\x89PNG")


def test_documented_findings_on_the_real_voices(shared_data):
    analyzer = VariableWeightAnalyzer(shared_data / "kokoro_voices")
    found = {row["name"]: row for row in summary(analyzer)["findings"]}
    components = found["components for 99.99%, row 50"]
    assert (components["documented"], components["measured"], components["holds"]) == (
        47,
        51,
        False,
    )
    ratio = found["prosody / decoder variance, row 50"]
    assert (ratio["documented"], ratio["holds"]) == (8.67, False)
    assert ratio["measured"] == pytest.approx(1.0172, abs=1e-3)
    assert found["largest variance, row 50"]["measured"] == pytest.approx(0.0752, abs=1e-4)
    assert found["cosine of neighbouring rows"]["holds"]
    assert found["cosine of rows 0 and 509"]["measured"] == pytest.approx(0.529, abs=1e-3)
    assert found["cosine of rows 50 and 300"]["measured"] == pytest.approx(0.873, abs=1e-3)
    text = describe(analyzer)
    assert "does not hold" in text
    assert "loses what a voice does" in text
