"""An engine that hums, for tests of the gateway around it; and a gateway in a thread."""

import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import uvicorn
from safetensors.numpy import load_file, save_file

from myxtts.errors import AudioError, TextError
from myxtts.server.app import make_app
from myxtts.server.keys import Keys
from myxtts.server.settings import ServerSettings

CHUNK = 2400


@dataclass(frozen=True)
class HummedVoice:
    latents: np.ndarray
    speaker_embedding: np.ndarray


class HummingEngine:
    """A chunk a word, each after ``pause`` seconds; ``stopped`` counts the broken-off texts."""

    name = "humming"
    languages = ["de", "en"]
    own_voices = {"hana": "a hum"}

    def __init__(self, pause: float = 0.0):
        self.pause, self.stopped, self.spoken = pause, 0, []

    def warm_up(self):
        pass

    def own_voice(self, name):
        return HummedVoice(np.ones((1, 2, 3), "float32"), np.ones((1, 4), "float32"))

    def condition(self, recording: Path):
        if soundfile.info(recording).duration < 0.3:
            raise AudioError(f"{recording} is short; a reference needs at least 0.3 s.")
        if not soundfile.read(recording)[0].any():
            raise AudioError(f"{recording} is silent.")
        return self.own_voice("")

    def save(self, voice, path):
        save_file(vars(voice), path)

    def load(self, path):
        return HummedVoice(**load_file(path))

    def check(self, text, language, options):
        if not any(letter.isalpha() for letter in text):
            raise TextError("nothing that can be spoken.")
        if language not in self.languages:
            raise TextError("unknown language.")

    def speak(self, text, voice, language, options, whole):
        self.spoken.append((text, language, options, whole, voice))
        ended = False
        try:
            for number in range(len(text.split())):
                time.sleep(self.pause)
                tone = np.sin(np.arange(CHUNK) * 0.05 * (1 + number % 3 + (options.seed or 0)))
                yield (0.3 * tone).astype("float32")
            ended = True
        finally:
            self.stopped += not ended


def settings(folder: Path, **changes) -> ServerSettings:
    return ServerSettings(**({"voices": str(folder / "voices")} | changes))


@contextlib.contextmanager
def served(engine, given: ServerSettings, keys: Keys | None = None):
    """Base address of a gateway that listens on a free port, and its application."""
    app = make_app(engine, given, keys)
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not (server.started and app.state.service.ready):
        assert time.monotonic() < deadline and thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", app
    finally:
        server.should_exit = True
        thread.join(20)


def until(holds, seconds: float = 5.0) -> bool:
    """Whether ``holds`` came true in so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(holds())
