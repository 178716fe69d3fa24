"""The command line of ``myxtts serve``."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import signal
import socket
from pathlib import Path

from myxtts.config import XTTSConfig
from myxtts.errors import CheckpointError, ConfigError
from myxtts.files import check_writable
from myxtts.flags import add_config_flags, config_from_flags, make_parser, refuse_idle
from myxtts.presets.finding import add_preset_flag
from myxtts.server.settings import ServerSettings

logger = logging.getLogger(__name__)

# What the extra `server` brings, by the names of the modules.
NEEDED = ("fastapi", "uvicorn", "websockets", "pydantic", "multipart", "prometheus_client", "av")
_MOST_MESSAGE, _MOST_CONNECTIONS = 2**20, 1024


def parser(prog: str = "myxtts serve") -> argparse.ArgumentParser:
    """Flags of the gateway."""
    parser = make_parser(prog, "Speak for other programs: an HTTP server in OpenAI's dialect.")
    add_preset_flag(parser)
    add_config_flags(parser, ServerSettings, defaults=True)
    return parser


def main(args: argparse.Namespace) -> None:
    """Load the model and serve until SIGTERM or Ctrl-C."""
    settings = config_from_flags(args, ServerSettings())
    if settings.backend == "local":
        told = "is for --backend tf-serving; give that too."
        refuse_idle(args, dict.fromkeys(("tf_serving", "tf_model"), told))
    check_packages()
    from myxtts.server.keys import check_address, read_keys

    check_address(settings)
    check_places(settings)
    keys = read_keys(settings.api_key_file)
    if settings.backend == "tf-serving" and args.preset:
        raise ConfigError("--preset is for --backend local; a served model has its own.")
    serve(make_engine(settings, args.preset), settings, keys)


def check_packages() -> None:
    """Raise ``CheckpointError`` where a package of the extra is missing."""
    if lacking := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise CheckpointError(
            f"{', '.join(lacking)} is missing for the server: pip install 'myxtts[server]'."
        )


def check_places(settings: ServerSettings) -> None:
    """Look at what would fail once the model has been read.

    Raises:
        ConfigError: nobody can listen at the address, or the voices' folder is none.
    """
    place = f"{settings.host}:{settings.port}"
    try:
        family, *_, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        socket.create_server(address[:2], family=family).close()
    except (OSError, UnicodeError) as error:
        told = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {place}: {told}.") from error
    folder = Path(settings.voices)
    if os.path.lexists(folder) and not folder.is_dir():
        kind = "a file" if folder.exists() else "a link that leads nowhere"
        raise ConfigError(f"--voices {folder} is {kind}; a folder is wanted.")
    try:
        check_writable(folder / "voice")
    except CheckpointError as error:
        logger.warning("no voice can be added: %s", error)


def make_engine(settings: ServerSettings, preset: str | None):
    """Who speaks, as the settings say."""
    if settings.backend == "tf-serving":
        from myxtts.server.served import ServedEngine

        return ServedEngine(settings.tf_serving, settings.tf_model, XTTSConfig().synthesis)
    from myxtts.server.local import LocalEngine

    return LocalEngine(preset)


def names_no_path(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's may be logged: those of sockets hold a query, and so any key."""
    return "WebSocket %s" not in str(record.msg)


def serve(engine, settings: ServerSettings, keys=None) -> None:
    """Serve until SIGTERM, after which running requests may end, or Ctrl-C.

    Raises:
        ConfigError: the file of keys cannot be used.
    """
    import uvicorn

    from myxtts.server.app import make_app

    config = uvicorn.Config(
        make_app(engine, settings, keys),
        host=settings.host,
        port=settings.port,
        log_config=None,
        # It would name every path; the guard logs routes.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_seconds,
        ws_max_size=_MOST_MESSAGE,
        limit_concurrency=_MOST_CONNECTIONS,
    )
    logging.getLogger("uvicorn.error").addFilter(names_no_path)
    # uvicorn raises its signal again once all has ended; that is no failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.Server(config).run()
