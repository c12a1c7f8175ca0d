"""Serving an ASGI application on the loopback interface."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from demo_pipeline.app.http_limits import HttpLimits, limited_protocol
from demo_pipeline.runtime.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.types import ASGIApp

_HOST: Final = "127.0.0.1"
_STOP_S: Final = 5


def listen(port: int, option: str = "--http-port") -> socket.socket:
    """Open a loopback port for HTTP; 0 uses a free one.

    Args:
        port: The port.
        option: The option that chose it.

    Raises:
        DemoError: The port is not available.
    """
    listener = socket.socket()
    try:
        # Otherwise the port of a run that has just ended would be refused for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise DemoError(
            f"cannot listen on {_HOST}:{port} ({error.strerror}): choose another {option}, or "
            "omit it to use a free one"
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the base URL of an open port."""
    port: int = listener.getsockname()[1]
    return f"http://{_HOST}:{port}"


@asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, limits: HttpLimits | None = None
) -> AsyncIterator[str]:
    """Serve on an open port, which is closed at the end; yield the base URL.

    Args:
        app: The application.
        listener: The open port.
        limits: The limits of the server; by default those of `HttpLimits`.
    """
    config = uvicorn.Config(
        app,
        http=limited_protocol(limits or HttpLimits()),
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        # There is no proxy before this server that could report the client's address.
        proxy_headers=False,
        timeout_graceful_shutdown=_STOP_S,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield url_of(listener)
    finally:
        server.should_exit = True
        await running


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ignore signals: the process handles them once, for all services."""
        yield
