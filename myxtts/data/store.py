"""Named features of recordings: computed once, kept on disk.

Each feature of each recording lies in a file of its own, under a key of everything that decides
it: a second epoch and a second run read no audio, and systems that share a feature share its
files.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import logging
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from myxtts.audio.decoding import reason_of, require_length
from myxtts.audio.frontends import MelSpec, spec_dict
from myxtts.audio.io import LONGEST_S, read_audio, resample
from myxtts.audio.mel import MelSpectrogram
from myxtts.data.formats import Utterance, is_file
from myxtts.digests import check_seal, sealed
from myxtts.errors import (
    AudioError,
    DataError,
    NotFiniteError,
    TooLongError,
    UnreadableError,
)
from myxtts.files import replacing, writable_folder, write_whole

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
# Waveforms are padded to a multiple of this before the mel, so that few graphs are traced.
SAMPLE_MULTIPLE = 22_050


class Clip:
    """One recording, as features are computed from it.

    Args:
        path: audio file that exists.
        store: its screen is applied to the sound.
    """

    def __init__(self, path: Path, store: FeatureStore):
        self.path = path
        self.store = store
        self._features: dict[str, np.ndarray] = {}
        self._resampled: dict[int, np.ndarray] = {}

    @functools.cached_property
    def recording(self) -> tuple[np.ndarray, int]:
        """The whole file: float32 ``(samples,)`` in [-1, 1] and their own rate in Hz.

        Raises:
            AudioError: it cannot be read; the sentence starts with the reason.
            UnreadableError: the machine failed, not the file.
        """
        longest = getattr(self.store.screen, "longest_seconds", LONGEST_S)
        try:
            require_length(self.path, longest)
            audio, rate = read_audio(self.path)
        except UnreadableError as error:
            raise UnreadableError(f"unreadable: {error}") from error
        except TooLongError as error:
            raise AudioError(f"too long: {error.seconds:.2f} s") from error
        except NotFiniteError as error:
            raise AudioError("NaN samples") from error
        except AudioError as error:
            raise AudioError(f"corrupt: {error}") from error
        if len(audio) > longest * rate:
            # Of a file that does not say how long it is.
            raise AudioError(f"too long: {len(audio) / rate:.2f} s")
        return audio, rate

    @functools.cached_property
    def sound(self) -> tuple[np.ndarray, int]:
        """What the screen leaves of the recording, and its rate in Hz.

        Raises:
            AudioError: it cannot be used; the sentence starts with the reason.
        """
        audio, rate = self.recording
        return self.store.screen(audio, rate), rate

    def at(self, rate: int) -> np.ndarray:
        """The screened sound at ``rate`` Hz, float32 ``(samples,)``."""
        if rate not in self._resampled:
            self._resampled[rate] = resample(*self.sound, rate)
        return self._resampled[rate]

    def __getitem__(self, name: str) -> np.ndarray:
        """A feature of this recording, from the cache where it is."""
        if name not in self._features:
            self._features[name] = self.store.find(self, name)
        return self._features[name]

    @functools.cached_property
    def key(self) -> str:
        """Names the recording as it is now: a changed one gets another key."""
        try:
            status = self.path.stat()
        except OSError as error:
            told = f"unreadable: {self.path} could not be read now: {reason_of(error)}."
            raise UnreadableError(told) from error
        source = f"{self.path.resolve()}:{status.st_size}:{status.st_mtime_ns}"
        return hashlib.sha256(source.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Feature:
    """How a feature is made.

    Attributes:
        compute: function from a clip to an array. An ``AudioError`` says that the recording
            cannot be used; its sentence starts with the reason.
        settings: plain values that decide the array, a version of ``compute`` among them once
            it has changed.
        needs: features of the same store that ``compute`` reads.
    """

    compute: Callable[[Clip], np.ndarray]
    settings: dict[str, Any]
    needs: tuple[str, ...] = ()


class FeatureStore:
    """Features of utterances, by way of a cache folder.

    Args:
        screen: dataclass whose call makes of ``(samples,)`` and their rate what is used of
            them, or raises ``AudioError`` with the reason; its fields decide the keys. Of what
            lasts beyond its ``longest_seconds``, if it has them, no sample is decoded.
        features: all there are, by name.
        cache_dir: folder of the cache; a folder for each feature is made in it.

    Raises:
        DataError: nothing can be written there.
    """

    def __init__(
        self,
        screen: Callable[[np.ndarray, int], np.ndarray],
        features: dict[str, Feature],
        cache_dir: str | Path,
    ):
        self.screen = screen
        self.features = features
        self.cache_dir = Path(cache_dir)
        self.folders = {name: self._folder(name) for name in features}

    def load(self, utterance: Utterance, *names: str) -> dict[str, np.ndarray]:
        """The named features of one utterance, or all.

        Raises:
            AudioError: the recording cannot be used; the sentence starts with the reason.
        """
        clip = self._clip(utterance)
        return {name: clip[name] for name in names or self.features}

    def prepare(self, utterance: Utterance) -> Clip:
        """The utterance's clip, all of whose features lie in the cache; none was read from there.

        Raises:
            AudioError: the recording cannot be used; the sentence starts with the reason.
        """
        clip = self._clip(utterance)
        for name in self.features:
            if not self._path(clip, name).is_file():
                clip[name]
        return clip

    def add(self, name: str, feature: Feature) -> None:
        """Have one more feature, or another under this name.

        Raises:
            DataError: nothing can be written in the cache.
        """
        self.features = self.features | {name: feature}
        self.folders[name] = self._folder(name)

    def key(self, name: str) -> str:
        """Names everything beside the recording that decides a feature."""
        screen = [type(self.screen).__name__, dataclasses.asdict(self.screen)]
        decisive = [FORMAT_VERSION, screen, self._settings(name)]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]

    def find(self, clip: Clip, name: str) -> np.ndarray:
        """A feature of ``clip``, read or else computed and kept; refusals are kept as well.

        What the machine refused today may be given tomorrow, so that is not kept.
        """
        path = self._path(clip, name)
        array = _read(path)
        if array is not None:
            return array
        refusal = path.with_suffix(".refused")
        if refusal.is_file() and (reason := _read_refusal(refusal)):
            raise AudioError(reason)
        try:
            array = self.features[name].compute(clip)
        except UnreadableError:
            raise
        except AudioError as error:
            # A file that may not be read today may be readable tomorrow, unchanged.
            if os.access(clip.path, os.R_OK):
                write_whole(refusal, json.dumps(sealed({"refused": str(error)})), DataError, False)
            raise
        with replacing(path, DataError, durable=False) as fresh:
            _write(fresh, array, _place(path))
        return array

    def _clip(self, utterance: Utterance) -> Clip:
        if not is_file(utterance.path):
            raise AudioError(f"missing: no audio file {utterance.path}.")
        return Clip(utterance.path, self)

    def _path(self, clip: Clip, name: str) -> Path:
        return self.folders[name] / f"{clip.key}.npz"

    def _folder(self, name: str) -> Path:
        return writable_folder(self.cache_dir / f"{name}-{self.key(name)}", DataError)

    def _settings(self, name: str) -> list:
        feature = self.features[name]
        return [feature.settings, [self._settings(needed) for needed in feature.needs]]


def waveform(rate: int) -> Feature:
    """The sound at ``rate`` Hz, int16 ``(samples,)``; :func:`to_float` undoes it."""

    def compute(clip: Clip) -> np.ndarray:
        return np.round(np.clip(clip.at(rate), -1.0, 1.0) * 32767).astype("int16")

    return Feature(compute, {"rate": rate})


def trimming() -> Feature:
    """Seconds cut off at the clip's start, and seconds of the whole clip, float64 ``(2,)``.

    The store's screen needs a ``span``, as :class:`~myxtts.data.screening.Screen` has.
    """

    def compute(clip: Clip) -> np.ndarray:
        audio, rate = clip.recording
        return np.array([clip.store.screen.span(audio)[0], len(audio)], "float64") / rate

    return Feature(compute, {})


def to_float(samples: np.ndarray) -> np.ndarray:
    """Float32 in [-1, 1] of the int16 of a :func:`waveform`."""
    return samples.astype("float32") / 32767


def log_mel(spec: MelSpec) -> Feature:
    """The mel spectrogram ``(frames, n_mels)`` of a front-end, float16, not normalised."""
    graph = tf.function(MelSpectrogram(spec), reduce_retracing=True, autograph=False)

    def compute(clip: Clip) -> np.ndarray:
        audio = clip.at(spec.sample_rate)
        # The end is reflected as the front-end would, before zeros round the length up.
        half = spec.n_fft // 2
        padded = np.pad(audio, (0, half), mode="reflect" if len(audio) > half else "constant")
        padded = np.pad(padded, (0, -len(padded) % SAMPLE_MULTIPLE))
        mel = graph(padded[None])[0]
        return np.asarray(mel[: spec.num_frames(len(audio))]).astype("float16")

    return Feature(compute, spec_dict(spec))


def _place(path: Path) -> str:
    """What a cached file is of: feature, settings and recording, as its path has them."""
    return f"{path.parent.name}/{path.stem}"


def _write(path: Path, array: np.ndarray, place: str) -> None:
    """Write an array as ``numpy.savez`` would; the archive also says what it is of."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = place.encode("utf-8")
        with archive.open("arr_0.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def _read(path: Path) -> np.ndarray | None:
    """A cached array, or None where there is none or it is damaged."""
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            told = archive.comment.decode("utf-8", "replace")
            if told and told != _place(path):
                raise ValueError(f"it is {told}")
            # As a whole: the sum over its bytes is compared at the end of them only.
            content = archive.read("arr_0.npy")
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    # Of no one kind: damage meets the archive, the packing, the header, or what that promises.
    except Exception as error:
        logger.warning("the cached feature %s is damaged (%s); computing it again", path, error)
        return None


def _read_refusal(path: Path) -> str | None:
    """Why a recording was refused, or None where that is damaged."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        logger.warning("the kept refusal %s cannot be read (%s); trying again", path, error)
        return None
    if not text.startswith("{"):
        # As they were written before they were sealed; an empty one lost its bytes.
        return text.strip() or None
    try:
        values = json.loads(text)
        check_seal(values, path, DataError)
        return str(values["refused"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        logger.warning("the kept refusal %s is damaged (%s); trying again", path, error)
        return None
