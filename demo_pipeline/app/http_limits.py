"""Limits of the HTTP server: how many connections it accepts, and how long each may take.

uvicorn limits concurrent requests, which also rejects health checks, and does not limit how long a
request takes to arrive. It lets its protocol class be replaced; this module does so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

HEALTH: Final = "/health"
"""The path that is answered even when there are too many connections."""

_logger = logging.getLogger("demo_pipeline.http")
_CLOSE: Final = (b"connection", b"close")
_FULL: Final = "too many connections at the moment, try again"
_READ_BYTES: Final = 2048
_LATE: Final = "the request did not arrive completely in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """The limits of an HTTP server. All times are in seconds.

    Attributes:
        connections: Concurrent connections. A further one replaces the connection that has waited
            longest for its client to send a request, or the rest of one.
        spare: Connections beyond that, used while no other waits for its client. They get 503 for
            everything but `/health`.
        header_s: How long a request's line and headers may take, counted from the connection or the
            previous response. The unread rest of the previous body counts as well.
        body_s: How long a request's body may take.
        body_bytes: How much of a body is read before the application is called; the application
            reads the rest itself.
        request_s: How long a request may take in total, until the client has read the response.
    """

    connections: int = 256
    spare: int = 64
    header_s: float = 5.0
    body_s: float = 10.0
    body_bytes: int = 64 * 1024
    request_s: float = 60.0


def limited_protocol(limits: HttpLimits) -> type[asyncio.Protocol]:
    """Return the protocol class of one server, for `uvicorn.Config(http=...)`."""

    class Limited(_LimitedProtocol):
        room = _Room(limits)

    return Limited


class _Room:
    """The connections of one server. Use it from one event loop.

    Args:
        limits: The limits.
    """

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        self._open: set[_LimitedProtocol] = set()
        # Connections that wait for their clients, the longest wait first.
        self._waiting: dict[_LimitedProtocol, None] = {}
        self._was_logged = False

    @property
    def is_crowded(self) -> bool:
        """Whether there are more connections than the limit."""
        return len(self._open) > self.limits.connections

    def enter(self, new: _LimitedProtocol) -> None:
        """Add a connection; close the one that has waited longest if there are too many."""
        self._open.add(new)
        if not self.is_crowded:
            return
        if not self._was_logged:
            self._was_logged = True
            _logger.warning(
                "more than %d connections: closing those that waited longest for their clients",
                self.limits.connections,
            )
        # The new one is not waiting yet, so it has a chance to send a request.
        oldest = next(iter(self._waiting), None)
        if oldest is not None:
            self._close(oldest)
        elif len(self._open) > self.limits.connections + self.limits.spare:
            self._close(new)

    def wait_for(self, connection: _LimitedProtocol) -> None:
        """Record that the connection now waits for its client."""
        self._waiting.pop(connection, None)
        if connection in self._open:
            self._waiting[connection] = None

    def work_for(self, connection: _LimitedProtocol) -> None:
        """Record that the connection now waits for the server."""
        self._waiting.pop(connection, None)

    def leave(self, connection: _LimitedProtocol) -> None:
        """Remove a connection."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        if 2 * len(self._open) <= self.limits.connections:
            self._was_logged = False

    def _close(self, connection: _LimitedProtocol) -> None:
        self.leave(connection)
        connection.transport.abort()


class _LimitedProtocol(H11Protocol):
    room: _Room

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app: Any = _guarded(self.app, self.room)
        self._timer: asyncio.TimerHandle | None = None
        self._timed: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio reads 256 KiB at once. In tiny chunks, parsing that much delays all other clients
        # for a second.
        with contextlib.suppress(AttributeError):
            transport.max_size = _READ_BYTES  # type: ignore[attr-defined]
        self.room.enter(self)
        self._start_timer(None)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.room.leave(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP, unless a response has begun already."""
        # uvicorn annotates it as if it were never None.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            # The application may be handling the request; nothing it sends fits any more.
            cycle.disconnected = True
            cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Do not wait for clients when the server stops."""
        if self._timed is not None and self._timed.more_body:
            self.transport.abort()
        else:
            super().shutdown()

    def _follow(self) -> None:
        """Restart the timer when a request begins or has been answered."""
        # uvicorn annotates it as if it were never None.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        timed = None if cycle is None or cycle.response_complete else cycle
        if timed is not self._timed and not self.transport.is_closing():
            self._start_timer(timed)
        if timed is not None and not timed.more_body:
            self.room.work_for(self)

    def _start_timer(self, request: RequestResponseCycle | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timed = request
        limits = self.room.limits
        seconds = limits.header_s if request is None else limits.request_s
        self._timer = self.loop.call_later(seconds, self._too_slow)
        self.room.wait_for(self)

    def _too_slow(self) -> None:
        begun, _ = self.conn.trailing_data
        is_idle = self.conn.our_state is h11.IDLE and not self.transport.is_closing()
        if self._timed is None and begun and is_idle:
            answer = h11.Response(
                status_code=408, headers=[_CLOSE, (b"content-length", b"0")], reason=b"Too slow"
            )
            for event in (answer, h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()
        else:
            self.transport.abort()


def _guarded(app: ASGIApp, room: _Room) -> ASGIApp:
    """Call the application once the whole body has arrived; answer 503 if the server is full.

    A request that never ends costs a buffer, but no span and no task of the application.
    """

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if room.is_crowded and scope["path"] != HEALTH:
            await _answer(send, 503, _FULL)
            return
        if not _has_body(scope):
            await app(scope, receive, send)
            return
        body, state = await _body(receive, room.limits)
        if state == "late":
            await _answer(send, 408, _LATE)
        elif state != "gone":
            # After the response, the server reads and drops the rest of the body: closing the
            # connection while its client still sends may lose the response.
            await app(scope, _first(body, receive, whole=state == "whole"), send)

    return guard


async def _body(
    receive: Receive, limits: HttpLimits
) -> tuple[bytes, Literal["whole", "long", "late", "gone"]]:
    """Read a body, and return it with how reading it ended."""
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_s):
            while len(body) <= limits.body_bytes:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return b"", "gone"
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    return bytes(body), "whole"
    except TimeoutError:
        return b"", "late"
    return bytes(body), "long"


def _first(body: bytes, receive: Receive, *, whole: bool) -> Receive:
    """Return a `receive` that yields what was read already, and then the rest."""
    read: list[Message] = [{"type": "http.request", "body": body, "more_body": not whole}]

    async def received() -> Message:
        return read.pop() if read else await receive()

    return received


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
        for name, value in scope["headers"]
    )


async def _answer(send: Send, status: int, error: str) -> None:
    content = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"retry-after", b"1"),
        _CLOSE,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
