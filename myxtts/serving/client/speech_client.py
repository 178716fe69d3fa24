"""Speech from a model in TensorFlow Serving: text and a recording in, a waveform out.

    client = SpeechClient("http://localhost:8501", model="my_xtts")
    voice = client.condition("reference.wav")
    client.speak("Hello there.", voice, language="en", seed=7).save("hello.wav")

Neither TensorFlow nor Keras is imported, and REST needs neither of them.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from myxtts.audio.io import RESAMPLING_MARGIN, read_audio, write_audio
from myxtts.config import SynthesisConfig
from myxtts.errors import ConfigError, TextError
from myxtts.serving.client.transports import ServingError, connect
from myxtts.serving.contract import FLAGS, OPTIONS
from myxtts.text.languages import table_of
from myxtts.text.split import split_text
from myxtts.timing import OUTPUT_RATE, PAUSE_SAMPLES

logger = logging.getLogger(__name__)

# Settings that the client itself obeys; every other one was fixed by the export.
OWN_SETTINGS = ("max_characters", "retries", "first_codes", "stream_codes")


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
            of a recording is sent; the package's defaults when None. A model's own are in
            ``assets.extra/serving.json`` of its export.
        timeout: seconds to wait for each answer.
        connect_retries: tries again when the server cannot be reached or is too busy.

    Raises:
        ConfigError: ``server`` is no such address.
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
    ):
        self.settings = settings or SynthesisConfig()
        self._transport = connect(server, model, version, timeout, connect_retries)

    def condition(self, reference: str | Path) -> ServedVoice:
        """The voice of an audio file, for any number of texts.

        Raises:
            AudioError: the file cannot be read.
            ServingError: no answer came, or the server refused the recording.
        """
        return ServedVoice(**self._transport.predict("condition_wav", self._recording(reference)))

    def speak(
        self, text: str, voice: ServedVoice | str | Path, language: str = "en", **changes: float
    ) -> Speech:
        """Speak ``text``, however long.

        Args:
            text: any text; a long one is sent in pieces of whole sentences.
            voice: of :meth:`condition`, or an audio file.
            language: of ``text``.
            changes: fields of :class:`SynthesisConfig` for this call: ``temperature``,
                ``top_k``, ``top_p``, ``repetition_penalty``, ``seed``, ``retries``,
                ``max_characters``.

        Raises:
            ConfigError: a change is none of those, or its value breaks a rule.
            TextError: nothing in ``text`` can be spoken.
            AudioError: the recording cannot be read.
            ServingError: no answer came, or the server refused the request.
        """
        settings = self._changed(changes)
        pieces = _pieces(text, language, settings)
        signature, source = "serving_default", None
        if len(pieces) == 1 and not isinstance(voice, ServedVoice):
            signature, source = "clone_wav", self._recording(voice)
        request = source or vars(self._voice(voice))
        takes = [
            self._best_take(signature, _texts(piece, language) | request, settings, number)
            for number, piece in enumerate(pieces)
        ]
        joined = [part for waveform, _ in takes for part in (_pause(), waveform)][1:]
        return Speech(np.concatenate(joined), OUTPUT_RATE, [flags for _, flags in takes])

    def stream(
        self, text: str, voice: ServedVoice | str | Path, language: str = "en", **changes: float
    ) -> Iterator[np.ndarray]:
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
        pieces = _pieces(text, language, settings)
        return self._stream_pieces(pieces, self._voice(voice), language, settings)

    def _stream_pieces(
        self, pieces: list[str], voice: ServedVoice, language: str, settings: SynthesisConfig
    ) -> Iterator[np.ndarray]:
        for number, piece in enumerate(pieces):
            if number:
                yield _pause()
            state = self._transport.predict("stream_start", _texts(piece, language))
            request = state | vars(voice) | _options(settings, number)
            yield from self._stream_piece(request, settings)

    def _stream_piece(self, request: dict, settings: SynthesisConfig) -> Iterator[np.ndarray]:
        count, finished = settings.first_codes, False
        while not finished:
            given = request | {"count": np.array([count], "int32")}
            reply = self._transport.predict("stream_next", given)
            made, finished = int(reply["samples"][0]), bool(reply["finished"][0])
            if made:
                yield reply["waveform"][0, :made]
            if not finished and reply["codes"].shape == request["codes"].shape:
                raise ServingError("the server's stream stands still before its end.")
            request |= {name: reply[name] for name in ("codes", "emitted")}
            count = settings.stream_codes

    def _best_take(
        self, signature: str, request: dict, settings: SynthesisConfig, number: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """Waveform and flags of the first attempt without a flag, else of the one with fewest."""
        takes = []
        # Greedy speech would only say the same again.
        for attempt in range(1 + (settings.retries if settings.temperature else 0)):
            options = _options(settings, number, attempt)
            reply = self._transport.predict(signature, request | options)
            flags = tuple(name for name in FLAGS if reply[name][0])
            takes.append((reply["waveform"][0, : int(reply["samples"][0])], flags))
            if not flags:
                break
            logger.info("piece %d: %s in attempt %d", number + 1, ", ".join(flags), attempt + 1)
        return min(takes, key=lambda take: len(take[1]))

    def _voice(self, voice: ServedVoice | str | Path) -> ServedVoice:
        return voice if isinstance(voice, ServedVoice) else self.condition(voice)

    def _changed(self, changes: dict[str, float]) -> SynthesisConfig:
        known = (*OPTIONS, *OWN_SETTINGS)
        for name in changes.keys() - set(known):
            raise ConfigError(
                f"{name!r} is no setting of a served model; choose among {', '.join(known)}."
            )
        return dataclasses.replace(self.settings, **changes)

    def _recording(self, path: str | Path) -> dict[str, np.ndarray]:
        """A recording as a WAV file of 16 bits, no longer than what is heard of it."""
        seconds = self.settings.max_ref_length + RESAMPLING_MARGIN
        samples, rate = read_audio(path, max_seconds=seconds)
        content = io.BytesIO()
        whole = np.clip(np.round(samples * 2**15), -(2**15), 2**15 - 1).astype("int16")
        soundfile.write(content, whole, rate, format="WAV", subtype="PCM_16")
        return {"wav_bytes": np.array([content.getvalue()], object)}


class _NoTokens:
    """Stands for a tokenizer in a client, which has none: characters alone bound a piece."""

    def language_token(self, language: str) -> None:
        """Any language will do: the server knows which it speaks."""

    def encode(self, text: str, language: str) -> list[int]:
        return []


def _pieces(text: str, language: str, settings: SynthesisConfig) -> list[str]:
    # A lone surrogate, as a broken command line gives, is no character of any text.
    text = text.encode("utf-8", "ignore").decode("utf-8")
    longest = settings.max_characters or table_of(language).max_characters
    pieces = split_text(text, _NoTokens(), language, 0, longest)
    if not pieces:
        raise TextError(f"the text {text[:40]!r} has nothing that can be spoken.")
    return pieces


def _pause() -> np.ndarray:
    return np.zeros(PAUSE_SAMPLES, "float32")


def _texts(text: str, language: str) -> dict[str, np.ndarray]:
    return {"text": np.array([text], object), "language": np.array([language], object)}


def _options(settings: SynthesisConfig, piece: int, attempt: int = 0) -> dict[str, np.ndarray]:
    try:
        values = {name: np.array([getattr(settings, name)], kind) for name, kind in OPTIONS.items()}
    except OverflowError as error:
        raise ConfigError(f"a sampling option is too large for the server: {error}.") from error
    # Pieces have seeds of their own, so that equal ones are not spoken equally.
    values["seed"] += attempt + (piece << 32)
    return values
