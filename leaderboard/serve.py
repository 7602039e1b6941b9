"""A board on this machine's own address, for looking at it before it is published."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, DataError

HOST = "127.0.0.1"


class Handler(SimpleHTTPRequestHandler):
    """Files of the board; folders whose name begins with a dot, as the cache, are not part of it."""

    def send_head(self) -> Any:
        """The headers of an answer, or 404."""
        path = Path(self.translate_path(self.path))
        if any(part.startswith(".") for part in path.relative_to(self.directory).parts):
            self.send_error(404)
            return None
        return super().send_head()

    def end_headers(self) -> None:
        """A board that was built again is shown again."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the terminal belongs to the user."""


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of ``folder`` that listens on this machine only (port 0: any free one).

    Raises :class:`ConfigError` for a number that is no port, :class:`DataError` where the folder holds no board, or the
    port is taken.
    """
    if not 0 <= port <= 65_535:
        raise ConfigError(f"--port {port}: name a port from 0 (any free one) to 65535")
    if not (folder / "index.html").is_file():
        raise DataError(f"{folder}: no board there: `bench leaderboard build --out {folder}` makes one")
    try:
        return ThreadingHTTPServer((HOST, port), partial(Handler, directory=str(folder.resolve())))
    except OSError as error:
        raise DataError(f"port {port} cannot be used ({error.strerror}): name another with --port") from None
