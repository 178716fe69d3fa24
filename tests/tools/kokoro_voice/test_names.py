"""The documented names are there to be imported."""

import pytest

pytest.importorskip("torch", reason="Kokoro voices are fitted with torch")


@pytest.mark.parametrize(
    "name",
    [
        "OptimizerConfig",
        "VariableWeightAnalyzer",
        "VoiceGradientOptimizer",
        "WavLMEmbedder",
        "create_optimizer",
    ],
)
def test_a_documented_name_can_be_imported(name):
    import tools.kokoro_voice as package

    assert getattr(package, name).__name__ == name
