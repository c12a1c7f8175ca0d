"""What clients may take of the HTTP server: so many connections, and so much time for each.

uvicorn has a limit for requests at a time, which turns everyone away alike, and none for the time
that a request takes to arrive. Its protocol class may be replaced, and that is what is done here.
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
"""The path that is answered also when there are too many connections."""

_logger = logging.getLogger("demo_pipeline.http")
_CLOSE: Final = (b"connection", b"close")
_FULL: Final = "there are too many connections at the moment, try again"
_READ_BYTES: Final = 2048
_LATE: Final = "the request did not arrive in time, or not as a whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """The limits of an HTTP server. All times are in seconds.

    Attributes:
        connections: Connections at a time. A further one takes the place of the one that has
            waited longest for its client: for a request, or for the rest of one.
        spare: Connections beyond that while none waits for its client. `/health` is answered on
            them, and anything else gets 503.
        header_s: How long a request's line and headers may take, from the connection or from the
            response before on, together with what was left of the body that it answered.
        body_s: How long a request's body may take.
        body_bytes: How much of a body is waited for before the application gets it; what is longer
            is the application's business.
        request_s: How long a request may take in all, until its response has been taken.
    """

    connections: int = 256
    spare: int = 64
    header_s: float = 5.0
    body_s: float = 10.0
    body_bytes: int = 64 * 1024
    request_s: float = 60.0


def limited_protocol(limits: HttpLimits) -> type[asyncio.Protocol]:
    """Make the protocol class of one server, for `uvicorn.Config(http=...)`."""

    class Limited(_LimitedProtocol):
        room = _Room(limits)

    return Limited


class _Room:
    """The connections of one server. For one event loop.

    Args:
        limits: How many there may be.
    """

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        self._open: set[_LimitedProtocol] = set()
        # Those whose client has to do something, the one that has waited longest first.
        self._waiting: dict[_LimitedProtocol, None] = {}
        self._was_logged = False

    @property
    def is_crowded(self) -> bool:
        """Whether there are more than there should be."""
        return len(self._open) > self.limits.connections

    def enter(self, new: _LimitedProtocol) -> None:
        """Take a connection in, in place of one that has waited too long if need be."""
        self._open.add(new)
        if not self.is_crowded:
            return
        if not self._was_logged:
            self._was_logged = True
            _logger.warning(
                "there are more than %d connections: those that wait longest for their clients "
                "are closed",
                self.limits.connections,
            )
        # It is not among them yet: a new one has a chance to say what it wants.
        oldest = next(iter(self._waiting), None)
        if oldest is not None:
            self._close(oldest)
        elif len(self._open) > self.limits.connections + self.limits.spare:
            self._close(new)

    def wait_for(self, connection: _LimitedProtocol) -> None:
        """Note that it is the client's turn, from now on."""
        self._waiting.pop(connection, None)
        if connection in self._open:
            self._waiting[connection] = None

    def work_for(self, connection: _LimitedProtocol) -> None:
        """Note that it is the server's turn."""
        self._waiting.pop(connection, None)

    def leave(self, connection: _LimitedProtocol) -> None:
        """Forget a connection."""
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
        # asyncio reads 256 KiB at once, which may be so many tiny chunks that parsing them keeps
        # all other clients waiting for a second.
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
        """Answer what is no HTTP, unless an answer has begun before the nonsense did."""
        # Annotated as if there always were one.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            # The application may have the request already: nothing of what it sends fits now.
            cycle.disconnected = True
            cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Do not wait for clients when the server is to end."""
        if self._timed is not None and self._timed.more_body:
            self.transport.abort()
        else:
            super().shutdown()

    def _follow(self) -> None:
        """Start the timer anew when a request has begun, or has been answered."""
        # Annotated as if there always were one.
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
    """Hand a request to the application once all of its body is there; answer for a full server.

    Requests that never end cost a buffer each, and neither a span nor a task of the application.
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
            # What is left after the answer is dropped by the server as it comes: a connection that
            # is closed while its client still sends may lose the answer.
            await app(scope, _first(body, receive, whole=state == "whole"), send)

    return guard


async def _body(
    receive: Receive, limits: HttpLimits
) -> tuple[bytes, Literal["whole", "long", "late", "gone"]]:
    """Read a body, and say how that ended."""
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
    """Receive what has been read already, and then what comes."""
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
