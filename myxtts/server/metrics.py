"""What Prometheus may know of the gateway."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_TIMES = (0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30)
_FACTORS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5)
# Until something has been spoken.
_FIRST_GUESS_S = 2.0


class Metrics:
    """Counters of one application.

    Attributes:
        requests: by route and status.
        refusals: by reason.
        speech: seconds of it.
        factor: real-time factor, seconds of work per second of speech.
        first_audio: seconds from the request to the first chunk, waiting included.
        running, waiting: texts.
    """

    def __init__(self):
        self.registry = own = CollectorRegistry()
        self.requests = Counter(
            "myxtts_requests", "Requests answered", ["route", "status"], registry=own
        )
        self.refusals = Counter("myxtts_refusals", "Requests refused", ["reason"], registry=own)
        self.speech = Counter("myxtts_speech_seconds", "Seconds of speech made", registry=own)
        self.factor = Histogram(
            "myxtts_real_time_factor", "Work per speech", buckets=_FACTORS, registry=own
        )
        self.first_audio = Histogram(
            "myxtts_first_audio_seconds", "Until the first chunk", buckets=_TIMES, registry=own
        )
        self.running = Gauge("myxtts_running", "Texts being spoken", registry=own)
        self.waiting = Gauge("myxtts_waiting", "Texts in the queue", registry=own)
        self._mean = _FIRST_GUESS_S

    def spoken(self, speech: float, work: float) -> None:
        """Count a text that was spoken to its end, by its seconds of speech and of work."""
        self.speech.inc(speech)
        self.factor.observe(work / max(speech, 1e-9))
        self._mean += 0.2 * (work - self._mean)

    def mean_seconds(self) -> float:
        """What a text takes of late."""
        return self._mean

    def text(self) -> bytes:
        """All of them as Prometheus reads them."""
        return generate_latest(self.registry)
