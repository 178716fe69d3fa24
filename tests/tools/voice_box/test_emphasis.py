"""What a decoder hears of a speaker is stretched from the mean, and nothing else is."""

import numpy as np
import pytest

from myxtts.errors import ConfigError
from myxtts.models.layer import of_power_one
from myxtts.models.xtts import XTTS
from tests.istft import istft_config
from tools.voice_box.emphasis import emphasise


@pytest.fixture()
def model(micro_config):
    model = XTTS(istft_config(micro_config, "harmonic"), None)
    rng = np.random.default_rng(0)
    for layer in model.decoder.conds:  # they begin at zero
        layer.kernel.assign(rng.normal(size=layer.kernel.shape))
    return model


def heard(decoder, speaker: np.ndarray) -> list[np.ndarray]:
    layers = (decoder.speaker_in, *decoder.conds)
    own = [np.asarray(layer(speaker)) for layer in layers]
    pitch = decoder.pitch_head
    return [*own, np.asarray(pitch.speaker_in(speaker) + pitch.widen.bias)]


def test_the_distance_from_the_mean_is_stretched(model):
    size = model.decoder.speaker_dim
    speakers = np.asarray(of_power_one(np.random.default_rng(1).normal(size=(3, size))))
    mean = speakers.mean(axis=0)
    before = heard(model.decoder, np.concatenate([speakers, mean[None]]))
    emphasise(model, mean, 1.5)
    after = heard(model.decoder, np.concatenate([speakers, mean[None]]))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other[3], one[3], atol=1e-4)
        expected = 1.5 * (one[:3] - one[3])
        np.testing.assert_allclose(other[:3] - other[3], expected, atol=1e-4)


def test_other_decoders_are_refused(micro_config):
    with pytest.raises(ConfigError, match="istft"):
        emphasise(XTTS(micro_config, None), np.zeros(4), 1.5)
