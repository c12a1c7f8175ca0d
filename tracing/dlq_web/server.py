"""Listen, and serve the application until it is stopped."""

from __future__ import annotations

import signal
import socket
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import uvicorn

from tracing.dlq_web.guard import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.types import ASGIApp

_STOP_S = 1
_STOP_REPLAYING_S = 10
_WAITING = 16


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def names_of(listener: socket.socket, host: str, allowed: Sequence[str]) -> list[str]:
    """Return the names of this server in URLs, first the one to open it by.

    Args:
        listener: The open port.
        host: The address or name that it was opened for.
        allowed: Further names and addresses that browsers may use.

    Raises:
        ValueError: There is none that a browser can use, or one is not a name or an address.
    """
    address: str = listener.getsockname()[0]
    names = [_in_url(each) for each in allowed]
    for name, given in zip(names, allowed, strict=True):
        if HOST.fullmatch(name) is None:
            raise ValueError(f"--allow-host {given} is no name or address of a host, without port")
    if not ip_address(address).is_unspecified:
        # A browser may take localhost for ::1, where nothing listens.
        return [*names, address if host == "localhost" else _in_url(host)]
    if not names:
        raise ValueError(
            f"--host {host} stands for all addresses of this machine: add --allow-host with the "
            "name or address by which browsers reach it"
        )
    return names


def _in_url(host: str) -> str:
    return (f"[{host}]" if ":" in host and not host.startswith("[") else host).lower()


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Open a port, and close it at the end; 0 uses a free one.

    Raises:
        OSError: The address or the port is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        # Otherwise the port of a server that has just ended would be refused for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_WAITING)
        yield listener


def serve(app: ASGIApp, listener: socket.socket, is_replaying: Callable[[], bool]) -> None:
    """Serve until SIGINT or SIGTERM; requests that are under way end first.

    Args:
        app: The application.
        listener: The open port.
        is_replaying: Called at the end: returns whether to wait longer.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        # The address that opens a session is a secret.
        access_log=False,
        log_config=None,
        # There is no proxy before this server that could report the client's address.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_S,
    )
    _Server(config, is_replaying).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, is_replaying: Callable[[], bool]) -> None:
        super().__init__(config)
        self._is_replaying = is_replaying

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for requests: a replay may end, but a cluster that is silent may stay so."""
        if self._is_replaying():
            self.config.timeout_graceful_shutdown = _STOP_REPLAYING_S
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on a signal without raising it again, so that spans are still exported."""
        stops = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in stops}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
