"""Classes of samples and pre-emphasis, beside RTVC's."""

import numpy as np
import pytest

from myxtts.audio.companding import (
    decode_mu_law,
    deemphasised,
    encode_linear,
    encode_mu_law,
    from_classes,
    preemphasised,
)
from tests.sv2tts_fixtures import fixture


def test_classes_equal_rtvcs():
    arrays = fixture("vocoder_audio")
    samples = arrays["in/samples"]
    classes = encode_mu_law(samples, 512)
    np.testing.assert_array_equal(classes, arrays["out/mu_law_512"])
    np.testing.assert_allclose(encode_linear(samples, 9), arrays["out/label_9_bit"], rtol=1e-5)
    np.testing.assert_allclose(encode_linear(samples, 16), arrays["out/label_16_bit"], rtol=1e-5)
    values = from_classes(np.arange(512), 9)
    np.testing.assert_allclose(values, arrays["out/float_of_labels"], atol=1e-6)
    decoded = decode_mu_law(from_classes(classes, 9), 512)
    np.testing.assert_allclose(decoded, arrays["out/decoded_from_labels"], atol=1e-6)
    assert (encode_mu_law(samples * 1.01, 512) != arrays["out/mu_law_512"]).any()


@pytest.mark.parametrize("bits", [4, 9])
def test_decoded_classes_are_themselves(bits):
    classes = np.arange(2**bits)
    wave = decode_mu_law(from_classes(classes, bits), 2**bits)
    np.testing.assert_array_equal(encode_mu_law(wave, 2**bits), classes)
    assert (wave[0], wave[-1]) == (-1, 1)


def test_emphasis_is_undone():
    audio = np.random.default_rng(0).normal(size=50)
    sharp = preemphasised(audio, 0.97)
    assert sharp[0] == audio[0]
    np.testing.assert_allclose(sharp[1:], audio[1:] - 0.97 * audio[:-1])
    np.testing.assert_allclose(deemphasised(sharp, 0.97), audio)
    assert deemphasised(audio, 0.0) is audio
