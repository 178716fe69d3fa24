"""Augmentation: levels, rooms, order, seeds, and files that are not what was hoped."""

import numpy as np
import pytest
import soundfile

from myxtts.data import augmentation
from myxtts.data.augmentation import (
    Augmenter,
    Sounds,
    active_power,
    mix,
    reverberate,
    without_delay,
)
from myxtts.errors import ConfigError, DataError
from myxtts.speaker_config import AugmentationConfig
from tests.conftest import hum

RATE = 16_000


def speech(pause=0.5):
    """A second of tone and a pause, which is no part of the speech's level."""
    tone = hum(1.0, 140, np.random.default_rng(0), RATE)
    return np.concatenate([tone, np.zeros(int(pause * RATE), "float32")])


def write(path, audio, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate)
    return path


def noise(seconds=2.0, rate=RATE, seed=1):
    return 0.1 * np.random.default_rng(seed).normal(size=int(seconds * rate))


@pytest.fixture
def musan(tmp_path):
    """The top of MUSAN, each kind of a level of its own."""
    for level, kind in enumerate(("music", "noise", "speech"), 1):
        write(tmp_path / "musan" / kind / "part" / "a.wav", level * noise(seed=level))
    return str(tmp_path / "musan")


@pytest.fixture
def rirs(tmp_path):
    response = np.zeros(3000)
    response[200], response[900:] = 0.5, 0.001
    top = tmp_path / "RIRS_NOISES"
    write(top / "simulated_rirs" / "smallroom" / "r1" / "a.wav", response)
    write(top / "pointsource_noises" / "n.wav", noise())
    write(top / "real_rirs_isotropic_noises" / "x.wav", noise())
    return str(top)


@pytest.mark.parametrize("snr", [-3.0, 0.0, 13.5])
@pytest.mark.parametrize("pause", [0.0, 3.0])
def test_the_ratio_is_that_of_active_speech(snr, pause):
    audio, added = speech(pause), noise(1.0 + 0.5)[: int((1 + pause) * RATE)]
    added = np.resize(added, len(audio))
    heard = mix(audio, added, snr)
    tone = audio[:RATE]
    got = 10 * np.log10(np.mean(tone**2) / np.mean((heard - audio) ** 2))
    assert got == pytest.approx(snr, abs=0.1)
    if pause:
        slip = 10 * np.log10(np.mean(audio**2) / np.mean((heard - audio) ** 2))
        assert abs(slip - snr) > 5


def test_silence_is_not_mixed_into_anything():
    silence, audio = np.zeros(RATE, "float32"), speech(0)
    np.testing.assert_array_equal(mix(silence, noise(1.0), 10), silence)
    np.testing.assert_array_equal(mix(audio, silence, 10), audio)
    assert np.isfinite(reverberate(silence, np.ones(10))).all()


def test_a_room_neither_delays_nor_changes_the_level():
    response = np.zeros(4000)
    response[700], response[1500] = -0.3, 0.1
    cut = without_delay(response)
    assert cut[0] == 1 and len(cut) == 3300
    audio = speech()
    heard = reverberate(audio, cut)
    assert len(heard) == len(audio)
    lag = np.argmax(np.correlate(heard, audio, "full")) - (len(audio) - 1)
    assert lag == 0
    assert active_power(heard) == pytest.approx(active_power(audio), rel=1e-4)


def test_known_corpora_are_recognised(musan, rirs):
    for kind, part in (("noise", "noise"), ("music", "music"), ("babble", "speech")):
        (file,) = Sounds(kind, (musan,)).files
        assert file.parts[-3] == part
    (file,) = Sounds("reverb", (rirs,)).files
    assert "simulated_rirs" in file.parts
    (file,) = Sounds("noise", (rirs,)).files
    assert file.name == "n.wav"
    # Any other folder is taken as it is.
    assert len(Sounds("noise", (f"{musan}/music",)).files) == 1


def test_examples_follow_their_seeds_in_any_order(musan, rirs):
    config = AugmentationConfig(
        noise_paths=(musan,), music_paths=(musan,), babble_paths=(musan,), reverb_paths=(rirs,),
        gain=(-6.0, 6.0),
    )  # fmt: skip
    audio = speech()
    one, other = Augmenter(config), Augmenter(config)
    first = [one(audio, np.random.default_rng([5, n])) for n in range(6)]
    again = [other(audio, np.random.default_rng([5, n])) for n in reversed(range(6))][::-1]
    np.testing.assert_array_equal(first, again)
    assert len({row.tobytes() for row in first}) == 6
    assert all(row.dtype == np.float32 and np.isfinite(row).all() for row in first)


def test_the_room_comes_before_the_noise(musan, rirs, monkeypatch):
    done = []
    for name in ("reverberate", "mix"):
        plain = getattr(augmentation, name)
        monkeypatch.setattr(
            augmentation, name, lambda *args, n=name, f=plain: (done.append(n), f(*args))[1]
        )
    folders = {f"{kind}_paths": (musan,) for kind in ("noise", "music", "babble")}
    config = AugmentationConfig(**folders, reverb_paths=(rirs,), probability=1.0)
    Augmenter(config)(speech(), np.random.default_rng(0))
    assert done == ["reverberate", "mix", "mix", "mix"]


def test_without_folders_nothing_is_changed():
    audio = speech()
    np.testing.assert_array_equal(
        Augmenter(AugmentationConfig())(audio, np.random.default_rng(0)), audio
    )


def test_noise_of_any_rate_is_brought_to_the_own(tmp_path):
    time = np.arange(44_100 * 3) / 44_100
    write(tmp_path / "n" / "a.wav", 0.3 * np.sin(2 * np.pi * 1000 * time), 44_100)
    piece = Sounds("noise", (str(tmp_path / "n"),)).piece(RATE, np.random.default_rng(0))
    assert np.argmax(np.abs(np.fft.rfft(piece))) == pytest.approx(1000, abs=1)


def test_short_noise_is_repeated(tmp_path):
    write(tmp_path / "n" / "a.wav", noise(0.1))
    piece = Sounds("noise", (str(tmp_path / "n"),)).piece(RATE, np.random.default_rng(0))
    assert len(piece) == RATE and np.abs(piece[-1600:]).max() > 0


def test_a_silent_file_is_passed_over_and_only_silence_is_refused(tmp_path, caplog):
    write(tmp_path / "n" / "a.wav", np.zeros(RATE))
    sounds = Sounds("noise", (str(tmp_path / "n"),))
    with pytest.raises(DataError, match=r"the noise files in .* are silent"):
        sounds.piece(RATE, np.random.default_rng(0))
    write(tmp_path / "n" / "b.wav", noise())
    sounds = Sounds("noise", (str(tmp_path / "n"),))
    for seed in range(6):
        assert sounds.piece(RATE, np.random.default_rng(seed)).any()
    assert "a.wav is silent" in caplog.text
    write(tmp_path / "r" / "a.wav", np.zeros(RATE))
    with pytest.raises(DataError, match="impulse responses in .* are silent"):
        Sounds("reverb", (str(tmp_path / "r"),)).impulse_response(np.random.default_rng(0))


def test_of_several_microphones_one_is_taken(tmp_path):
    both = np.zeros((1000, 2))
    both[100, 0], both[300, 1] = 0.5, 0.9
    write(tmp_path / "r" / "a.wav", both)
    response = Sounds("reverb", (str(tmp_path / "r"),)).impulse_response(np.random.default_rng(0))
    assert response[0] == 1 and len(response) == 900


@pytest.mark.parametrize("made", [False, True])
def test_folders_without_sounds_are_refused(tmp_path, made):
    if made:
        (tmp_path / "n").mkdir()
    with pytest.raises(DataError, match="the music folder .* (does not exist|holds no audio)"):
        Augmenter(AugmentationConfig(music_paths=(str(tmp_path / "n"),)))


@pytest.mark.parametrize("values", [{"noise_snr": (3.0,)}, {"gain": (2.0, 1.0)}])
def test_ranges_have_two_ends(values):
    with pytest.raises(ConfigError, match="must be a least and a largest value"):
        AugmentationConfig(**values)
