"""What clients may take of the HTTP server: so many connections, and so much time for each.

uvicorn has a limit for requests at a time, which turns everyone away alike, and none for the time
that a request takes to arrive. Its protocol class may be replaced, and that is what is done here.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

HEALTH: Final = "/health"
"""The path that is answered also when there are too many connections."""

_logger = logging.getLogger("demo_pipeline.http")
_CLOSE: Final = (b"connection", b"close")
_FULL: Final = b'{"error":"there are too many connections at the moment, try again"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """The limits of an HTTP server. All times are in seconds.

    Attributes:
        connections: Connections at a time. A further one takes the place of the one that has
            waited longest for its client: for a request, or for the rest of one.
        spare: Connections beyond that while none waits for its client. `/health` is answered on
            them, and anything else gets 503.
        header_s: How long a request's line and headers may take, from the connection or from the
            response before on.
        body_s: How long a request's body may take.
        request_s: How long a request may take in all, until its response has been taken.
    """

    connections: int = 256
    spare: int = 64
    header_s: float = 5.0
    body_s: float = 10.0
    request_s: float = 60.0


def limited_protocol(limits: HttpLimits) -> type[asyncio.Protocol]:
    """Make the protocol class of one server, for `uvicorn.Config(http=...)`."""

    class Limited(_LimitedProtocol):
        pass

    Limited.limits = limits
    return Limited


class _LimitedProtocol(H11Protocol):
    limits = HttpLimits()
    full_was_logged = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app: Any = _guarded(self.app, self.limits, self._is_crowded)
        self._timer: asyncio.TimerHandle | None = None
        self._timed: object = None
        self.waiting_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer(None)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    @property
    def waits_for_client(self) -> bool:
        """Whether it is the client's turn: there is no request, or not all of one."""
        cycle = self._request()
        return cycle is None or cycle.response_complete or cycle.more_body

    def _request(self) -> RequestResponseCycle | None:
        # Annotated as if there always were one.
        return cast("RequestResponseCycle | None", self.cycle)

    def _follow(self) -> None:
        """Start the timer anew when a request has begun, or has been answered."""
        cycle = self._request()
        timed = None if cycle is None or cycle.response_complete else cycle
        if timed is not self._timed and not self.transport.is_closing():
            self._start_timer(timed)

    def _start_timer(self, request: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timed = request
        self.waiting_since = self.loop.time()
        limits = self.limits
        seconds = limits.header_s if request is None else limits.request_s
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        begun, _ = self.conn.trailing_data
        if self._timed is None and begun and not self.transport.is_closing():
            answer = h11.Response(
                status_code=408, headers=[_CLOSE, (b"content-length", b"0")], reason=b"Too slow"
            )
            for event in (answer, h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()
        else:
            self.transport.abort()

    def _open(self) -> list[_LimitedProtocol]:
        return [
            each
            for each in self.connections
            if isinstance(each, _LimitedProtocol) and not each.transport.is_closing()
        ]

    def _is_crowded(self) -> bool:
        return len(self._open()) > self.limits.connections

    def _make_room(self) -> None:
        everyone = self._open()
        shared = type(self)
        if len(everyone) <= self.limits.connections:
            if 2 * len(everyone) <= self.limits.connections:
                shared.full_was_logged = False
            return
        if not shared.full_was_logged:
            shared.full_was_logged = True
            _logger.warning(
                "there are more than %d connections: those that wait longest for their clients "
                "are closed",
                self.limits.connections,
            )
        waiting = [each for each in everyone if each.waits_for_client and each is not self]
        if waiting:
            min(waiting, key=lambda each: each.waiting_since).transport.abort()
        elif len(everyone) > self.limits.connections + self.limits.spare:
            self.transport.abort()


def _guarded(app: ASGIApp, limits: HttpLimits, is_crowded: Callable[[], bool]) -> ASGIApp:
    """Limit the time that a request's body takes, and answer for a server that is full."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        until = asyncio.get_running_loop().time() + limits.body_s
        is_whole = not _has_body(scope)

        async def receive_in_time() -> Message:
            nonlocal is_whole
            try:
                async with asyncio.timeout_at(None if is_whole else until):
                    message = await receive()
            except TimeoutError:
                # To the application, as if the client had gone; it may still answer.
                return {"type": "http.disconnect"}
            if message["type"] == "http.request" and not message.get("more_body", False):
                is_whole = True
            return message

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_whole:
                # What is left of the body is not read, so the connection is of no more use.
                message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
            await send(message)

        if is_crowded() and scope["path"] != HEALTH:
            await _answer_full(send)
        else:
            await app(scope, receive_in_time, send_and_close)

    return guard


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
        for name, value in scope["headers"]
    )


async def _answer_full(send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(_FULL)),
        (b"retry-after", b"1"),
        _CLOSE,
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _FULL})
