"""Spectra are librosa's, and what is taken apart is put together again."""

import librosa
import numpy as np
import pytest

from myxtts.audio.stft import hann_window, inverse_stft, power_spectrum

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 256), (512, 256), (1024, 64)])
def test_power_is_librosas(n_fft, hop):
    wave = RNG.normal(size=(2, 16 * hop)).astype("float32")
    edge = (n_fft - hop) // 2
    padded = np.pad(wave, [(0, 0), (edge, edge)])
    expected = np.abs(librosa.stft(padded, n_fft=n_fft, hop_length=hop, center=False)) ** 2
    found = np.asarray(power_spectrum(wave, n_fft, hop))
    np.testing.assert_allclose(found, expected.transpose(0, 2, 1), rtol=1e-3, atol=1e-3)


def test_a_last_hop_that_is_not_full_is_filled_with_silence():
    wave = RNG.normal(size=(1, 1000)).astype("float32")
    padded = np.pad(wave, [(0, 0), (0, 24)])
    found, expected = (np.asarray(power_spectrum(item, 512, 128)) for item in (wave, padded))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 256), (512, 256), (256, 32)])
def test_spectra_of_a_signal_give_it_back_to_its_edges(n_fft, hop):
    wave = RNG.normal(size=(2, 12 * hop)).astype("float32")
    edge = (n_fft - hop) // 2
    frames = np.lib.stride_tricks.sliding_window_view(
        np.pad(wave, [(0, 0), (edge, edge)]), n_fft, axis=1
    )[:, ::hop]
    spectra = np.fft.rfft(frames * hann_window(n_fft))
    parts = spectra.real.astype("float32"), spectra.imag.astype("float32")
    np.testing.assert_allclose(inverse_stft(*parts, n_fft, hop), wave, atol=2e-5)


def test_frames_of_padding_are_not_heard():
    real, imaginary = RNG.normal(size=(2, 1, 9, 257)).astype("float32")
    own = (np.arange(9) < 6).astype("float32")[None, :, None]
    found = np.asarray(inverse_stft(real, imaginary, 512, 128, own))[:, : 6 * 128]
    alone = np.asarray(inverse_stft(real[:, :6], imaginary[:, :6], 512, 128))
    np.testing.assert_allclose(found, alone, atol=1e-6)
