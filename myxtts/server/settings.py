"""Settings of the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from myxtts.settings import Settings, setting


@dataclass(frozen=True)
class ServerSettings(Settings, section="server"):
    """Where the gateway listens, who speaks behind it, and what it refuses."""

    host: str = setting("127.0.0.1", "address to listen on")
    port: int = setting(8020, "port to listen on; 0: any free one", at_least=0, at_most=65535)
    backend: Literal["local", "tf-serving"] = setting("local", "who makes the speech")
    tf_serving: str = setting(
        "http://localhost:8501", "TensorFlow Serving of --backend tf-serving, http:// or grpc://"
    )
    tf_model: str = setting("my_xtts", "the model's name on the TensorFlow Serving")
    api_key_file: str | None = setting(
        None, "UTF-8 file with a key a line; a request needs one of them"
    )
    auth: bool = setting(True, "refuse a public address without keys; --no-auth does not")
    allow_origins: tuple[str, ...] = setting(
        (), "web pages of other servers that may call, http://HOST:PORT each", flag="allow_origin"
    )
    voices: str = setting("voices", "folder of the uploaded voices")
    max_concurrent: int = setting(1, "texts spoken at once", at_least=1, at_most=256)
    queue: int = setting(16, "texts that may wait; more are refused with 429", at_least=0)
    max_characters_of_input: int = setting(
        4096, "longest text of a request", "characters", flag="max_input", at_least=1
    )
    max_seconds: float = setting(
        600.0, "longest time that one text is spoken for", "seconds", above=0
    )
    max_upload_bytes: int = setting(
        20 * 2**20, "largest recording of a new voice", "bytes", at_least=1024
    )
    max_upload_seconds: float = setting(
        120.0, "longest recording of a new voice", "seconds", above=0.3, at_most=3600
    )
    max_decode_seconds: float = setting(
        20.0, "longest time that an upload is decoded for", "seconds", above=0
    )
    max_voices: int = setting(100, "uploaded voices of one key", at_least=0)
    drain_seconds: int = setting(
        30, "how long running requests may go on after SIGTERM", "seconds", at_least=0
    )
    log_text: bool = setting(False, "write the texts to the log, too")
