"""Speech from a model in TensorFlow Serving: text and a recording in, a waveform out.

    client = SpeechClient("http://localhost:8501", model="my_xtts")
    voice = client.condition("reference.wav")
    client.speak("Hello there.", voice, language="en", seed=7).save("hello.wav")

Neither TensorFlow nor Keras is imported, and REST needs neither of them.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myxtts.audio.io import RESAMPLING_MARGIN, read_audio, wav_bytes, write_audio
from myxtts.config import SynthesisConfig
from myxtts.errors import ConfigError
from myxtts.generation.driver import (
    Attempt,
    Reading,
    SpeechStream,
    chunk_codes,
    text_pieces,
)
from myxtts.serving.client.record import recorded_settings
from myxtts.serving.client.replies import Bound, served_speech, served_voice, state_of, stream_reply
from myxtts.serving.client.transports import ServingError, connect
from myxtts.serving.contract import OPTIONS
from myxtts.text.front_end import in_phonemes
from myxtts.timing import OUTPUT_RATE

logger = logging.getLogger(__name__)

# Settings that the client itself obeys; every other one was fixed by the export.
OWN_SETTINGS = ("max_characters", "retries", "first_codes", "stream_codes", "front_end")


@dataclass(frozen=True)
class ServedVoice:
    """What a reference is to the served model.

    Attributes:
        latents: float32 ``(1, num_latents, model_dim)``.
        speaker_embedding: float32 ``(1, size)``.
    """

    latents: np.ndarray
    speaker_embedding: np.ndarray


@dataclass(frozen=True)
class Speech:
    """A spoken text.

    Attributes:
        waveform: float32 ``(samples,)`` at ``sample_rate``.
        sample_rate: in Hz.
        flags: for each piece of the text, what is wrong with it: ``unfinished``,
            ``repeats``, ``silence``, ``doubtful_stop``.
    """

    waveform: np.ndarray
    sample_rate: int
    flags: list[tuple[str, ...]]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.waveform) / self.sample_rate

    def save(self, path: str | Path) -> None:
        """Write a WAV, FLAC, OGG or MP3 file, whole or not at all.

        Raises:
            AudioError: the suffix is no audio format, or the file cannot be written.
        """
        write_audio(path, self.waveform, self.sample_rate)


class SpeechClient:
    """Speaks with a model that :mod:`myxtts.serving.export` wrote and a server has loaded.

    Args:
        server: ``http://HOST:PORT`` for REST, ``grpc://HOST:PORT`` for gRPC.
        model: its name on the server.
        version: of the model; None for the latest.
        settings: sampling, retries and lengths where a call says nothing else, and how much
            of a recording is sent. When None, the model's own of ``export``, and without
            that the package's, which is told.
        timeout: seconds to wait for each answer.
        connect_retries: tries again when the server cannot be reached or is too busy.
        export: folder that is served, or a copy of its ``assets.extra/serving.json``.

    Raises:
        ConfigError: ``server`` is no such address, or ``export`` has no such record.
        ServingError: the package that REST or gRPC needs is missing.
    """

    def __init__(
        self,
        server: str,
        model: str,
        version: int | None = None,
        settings: SynthesisConfig | None = None,
        timeout: float = 120.0,
        connect_retries: int = 2,
        export: str | Path | None = None,
    ):
        if settings is None and export is None:
            logger.info(
                "sampling settings are the package's; the model's own are in its export: name "
                "that folder, or its assets.extra/serving.json."
            )
        recorded = settings is None and export is not None
        self.settings = recorded_settings(export) if recorded else settings or SynthesisConfig()
        self._transport = connect(server, model, version, timeout, connect_retries)

    def condition(self, reference: str | Path) -> ServedVoice:
        """The voice of an audio file, for any number of texts.

        Raises:
            AudioError: the file cannot be read.
            ServingError: no answer came, or the server refused the recording.
        """
        recording = self._recording(reference)
        return ServedVoice(**served_voice(self._transport.predict("condition_wav", recording)))

    def speak(
        self,
        text: str,
        voice: ServedVoice | str | Path,
        language: str = "en",
        **changes: float | str,
    ) -> Speech:
        """Speak ``text``, however long.

        Args:
            text: any text; a long one is sent in pieces of whole sentences.
            voice: of :meth:`condition`, or an audio file.
            language: of ``text``.
            changes: fields of :class:`SynthesisConfig` for this call: ``temperature``,
                ``top_k``, ``top_p``, ``repetition_penalty``, ``seed``, ``retries``,
                ``max_characters``, ``front_end`` (who reads the text in phonemes before it is
                sent; the model's vocabulary has to know them).

        Raises:
            ConfigError: a change is none of those, or its value breaks a rule.
            WeightsError: the front-end's package is missing.
            TextError: nothing in ``text`` can be spoken.
            AudioError: the recording cannot be read.
            ServingError: no answer came, or the server refused the request.
        """
        settings = self._changed(changes)
        pieces = text_pieces(text, language, settings)
        signature, source = "serving_default", None
        if len(pieces) == 1 and not isinstance(voice, ServedVoice):
            signature, source = "clone_wav", self._recording(voice)
        request = source or vars(self._voice(voice))
        reading = Reading(pieces, settings)
        for attempt in reading:
            written = in_phonemes(attempt.text, language, settings.front_end)
            given = _texts(written, language) | request | _options(settings, attempt)
            reading.add(_take(self._transport.predict(signature, given)))
        waveform = reading.waveform()
        if not any(len(take.waveform) for take in reading.takes):
            raise ServingError("the server answers without a single sample of speech.")
        return Speech(waveform, OUTPUT_RATE, [take.flags for take in reading.takes])

    def stream(
        self,
        text: str,
        voice: ServedVoice | str | Path,
        language: str = "en",
        **changes: float | str,
    ) -> SpeechStream:
        """Speak ``text`` in chunks, float32 ``(samples,)`` at 24 kHz, while it is being made.

        Joined, they are what :meth:`speak` gives without retries.

        Args:
            text, voice, language: as for :meth:`speak`.
            changes: as for :meth:`speak`, and ``first_codes`` and ``stream_codes``: audio
                codes of 46 ms before the first chunk and between the others.

        Raises:
            ConfigError, TextError, AudioError, ServingError: as for :meth:`speak`.
        """
        settings = self._changed(changes)
        pieces = text_pieces(text, language, settings)
        told = vars(self._voice(voice))

        def chunks(attempt: Attempt) -> Generator[np.ndarray, None, tuple[str, ...]]:
            written = in_phonemes(attempt.text, language, settings.front_end)
            reply = self._transport.predict("stream_start", _texts(written, language))
            state = state_of(reply)
            bound = Bound(len(attempt.text), settings.seconds_per_character)
            return self._chunks(state | told | _options(settings, attempt), settings, bound)

        return SpeechStream(pieces, chunks)

    def _chunks(
        self, request: dict, settings: SynthesisConfig, bound: Bound
    ) -> Generator[np.ndarray, None, tuple[str, ...]]:
        for count in chunk_codes(settings):
            given = request | {"count": np.array([count], "int32")}
            reply = self._transport.predict("stream_next", given)
            chunk, state, ended = stream_reply(reply)
            bound.take(chunk)
            if len(chunk):
                yield chunk
            if ended:
                break
            if state["codes"].shape[1] <= request["codes"].shape[1]:
                raise ServingError("the server's stream stands still before its end.")
            request |= state
        # The server does not say how its stream ended.
        return ()

    def _voice(self, voice: ServedVoice | str | Path) -> ServedVoice:
        return voice if isinstance(voice, ServedVoice) else self.condition(voice)

    def _changed(self, changes: dict[str, float | str]) -> SynthesisConfig:
        known = (*OPTIONS, *OWN_SETTINGS)
        for name in changes.keys() - set(known):
            raise ConfigError(
                f"{name!r} is no setting of a served model; choose among {', '.join(known)}."
            )
        # A server gives no score to a take, so there is nothing to choose by.
        return dataclasses.replace(self.settings, **{"candidates": 1} | changes)

    def _recording(self, path: str | Path) -> dict[str, np.ndarray]:
        """A recording as a WAV file of 16 bits, no longer than what is heard of it."""
        seconds = self.settings.max_ref_length + RESAMPLING_MARGIN
        samples, rate = read_audio(path, max_seconds=seconds)
        return {"wav_bytes": np.array([wav_bytes(samples, rate)], object)}


@dataclass(frozen=True)
class _Take:
    """One answer of the server: float32 ``(samples,)``, what is wrong with it, and no more."""

    waveform: np.ndarray
    flags: tuple[str, ...]
    score: float = 0.0


def _take(reply: dict[str, np.ndarray]) -> _Take:
    return _Take(*served_speech(reply))


def _texts(text: str, language: str) -> dict[str, np.ndarray]:
    return {"text": np.array([text], object), "language": np.array([language], object)}


def _options(settings: SynthesisConfig, attempt: Attempt) -> dict[str, np.ndarray]:
    try:
        values = {name: np.array([getattr(settings, name)], kind) for name, kind in OPTIONS.items()}
    except OverflowError as error:
        raise ConfigError(f"a sampling option is too large for the server: {error}.") from error
    # A server takes one number for both seeds.
    own, piece = attempt.seeds(0)
    values["seed"] += own + (piece << 32)
    return values
