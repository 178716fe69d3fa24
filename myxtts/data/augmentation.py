"""Noise, music, babble, rooms and levels that training recordings are mixed with.

Everything is drawn from the generator that is handed in, so that an example of an epoch sounds
the same in whatever thread, run or resumed run it is made.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve

from myxtts.audio.decoding import decode, duration
from myxtts.audio.io import LONGEST_S, read_span, resample
from myxtts.data.formats import require_folder
from myxtts.data.speakers import recordings_below
from myxtts.errors import DataError
from myxtts.speaker_config import AugmentationConfig
from myxtts.timing import SPEAKER_RATE

logger = logging.getLogger(__name__)

# Where a known corpus has sounds of a kind; MUSAN (Snyder et al. 2015), then RIRS_NOISES
# (Ko et al. 2017), whose real rooms have their noises among them.
PLACES = {
    "noise": ("noise", "pointsource_noises"),
    "music": ("music",),
    "babble": ("speech",),
    "reverb": ("simulated_rirs",),
}
# What makes a folder one of the two.
MUSAN, RIRS = {"noise", "music", "speech"}, {"simulated_rirs"}
# Of active speech: frames in samples, and how far below the loudest one they may be, in power.
ACTIVE_FRAME, ACTIVE_SHARE = 320, 1e-4
# A piece of less power is silence; so many silent ones in turn are no accident.
SILENCE, PATIENCE = 1e-10, 20


class Augmenter:
    """Makes another recording of a recording, in the order of nature: room, noise, level.

    Args:
        config: which folders, how often and how loud.

    Raises:
        DataError: a folder is not there or holds no audio.
    """

    def __init__(self, config: AugmentationConfig):
        self.config = config
        folders = {kind: getattr(config, f"{kind}_paths") for kind in PLACES}
        self.sounds = {kind: Sounds(kind, paths) for kind, paths in folders.items() if paths}

    def __call__(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Float32 ``(samples,)`` at 16 kHz in and out."""
        config = self.config
        for kind in ("reverb", "noise", "music", "babble"):
            # Drawn in any case: one kind more does not change what is drawn of the others.
            wanted, own = (
                rng.random() < config.probability,
                np.random.default_rng(rng.integers(2**63)),
            )
            if wanted and kind in self.sounds:
                audio = self._apply(kind, audio, own)
        gain = rng.uniform(*config.gain)
        return (audio * 10 ** (gain / 20)).astype("float32")

    def _apply(self, kind: str, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        sounds, size = self.sounds[kind], len(audio)
        if kind == "reverb":
            return reverberate(audio, sounds.impulse_response(rng))
        low, high = getattr(self.config, f"{kind}_snr")
        snr = rng.uniform(low, high)
        if kind == "babble":
            fewest, most = self.config.babble_voices
            voices = [sounds.piece(size, rng) for _ in range(rng.integers(fewest, most + 1))]
            noise = sum(voice / np.sqrt(np.mean(voice**2)) for voice in voices)
        else:
            noise = sounds.piece(size, rng)
        return mix(audio, noise, snr)


class Sounds:
    """Audio files of a kind, of any rate and length.

    Args:
        kind: one of ``PLACES``.
        folders: where they lie, at any depth.

    Raises:
        DataError: a folder is not there or holds none.
    """

    def __init__(self, kind: str, folders: tuple[str, ...]):
        self.kind, self.folders = kind, folders
        self.files = [file for folder in folders for file in _files(kind, Path(folder))]
        self._seconds: dict[Path, float] = {}
        self._told: set[Path] = set()
        self._lock = threading.Lock()

    def piece(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """``size`` samples at 16 kHz from a random place of a random file, repeated if short.

        Silent places are passed over.

        Raises:
            DataError: nothing but silence was found.
        """
        for _ in range(PATIENCE):
            file, place = self.files[rng.integers(len(self.files))], rng.random()
            seconds = size / SPEAKER_RATE
            start = place * max(self._duration(file) - seconds, 0.0)
            found = read_span(file, start, seconds, SPEAKER_RATE)
            if len(found) and np.mean(np.square(found)) > SILENCE:
                return np.resize(found, size)
            self._tell(file)
        raise DataError(
            f"the {self.kind} files in {', '.join(self.folders)} are silent: {PATIENCE} pieces in "
            f"turn were, the last of {file}."
        )

    def impulse_response(self, rng: np.random.Generator) -> np.ndarray:
        """A room's response at 16 kHz, beginning with the direct path.

        Of several microphones the first is taken: their mean is no room.

        Raises:
            DataError: nothing but silence was found.
        """
        for _ in range(PATIENCE):
            file = self.files[rng.integers(len(self.files))]
            samples, rate = decode(file, None, LONGEST_S)
            response = resample(samples[:, 0], rate, SPEAKER_RATE)
            if np.mean(np.square(response)) > SILENCE**2:
                return without_delay(response)
            self._tell(file)
        raise DataError(f"the impulse responses in {', '.join(self.folders)} are silent.")

    def _duration(self, file: Path) -> float:
        with self._lock:
            if file not in self._seconds:
                self._seconds[file] = duration(file)
            return self._seconds[file]

    def _tell(self, file: Path) -> None:
        if file not in self._told:
            self._told.add(file)
            logger.warning("%s is silent, at one place at least; another is taken there.", file)


def mix(audio: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Add ``noise`` so that active speech is ``snr`` dB above it; silence stays as it is."""
    speech, power = active_power(audio), float(np.mean(np.square(noise, dtype="float64")))
    if speech <= SILENCE or power <= SILENCE:
        return audio
    scale = np.sqrt(speech / (power * 10 ** (snr / 10)))
    return (audio + scale * noise).astype("float32")


def active_power(audio: np.ndarray) -> float:
    """Mean square of those frames of 20 ms that are not 40 dB below the loudest one."""
    whole = audio[: max(len(audio) // ACTIVE_FRAME, 1) * ACTIVE_FRAME]
    size = min(ACTIVE_FRAME, len(whole))
    powers = np.mean(np.square(whole.reshape(-1, size), dtype="float64"), axis=1)
    return float(np.mean(powers[powers >= ACTIVE_SHARE * powers.max()]))


def without_delay(response: np.ndarray) -> np.ndarray:
    """An impulse response whose loudest sample, the direct path, is the first and is 1."""
    direct = int(np.argmax(np.abs(response)))
    return response[direct:] / response[direct]


def reverberate(audio: np.ndarray, response: np.ndarray) -> np.ndarray:
    """``audio`` in a room, in time with what it was and as loud."""
    heard = fftconvolve(audio, response)[: len(audio)]
    before, after = active_power(audio), active_power(heard)
    if after <= SILENCE:
        return audio
    return (heard * np.sqrt(before / after)).astype("float32")


def _files(kind: str, folder: Path) -> list[Path]:
    require_folder(folder, f"{kind} folder")
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    known = names >= MUSAN or names >= RIRS
    parts = [folder / name for name in PLACES[kind] if name in names] if known else [folder]
    found = [file for part in parts for file in recordings_below(part)]
    if not found:
        told = f" of that kind ({', '.join(PLACES[kind])})" if known else ""
        raise DataError(f"the {kind} folder {folder} holds no audio file{told}.")
    return found
