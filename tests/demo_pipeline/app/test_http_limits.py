"""Slow, endless and too many clients of the HTTP server, over real connections."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from demo_pipeline.app.http_limits import HttpLimits
from demo_pipeline.app.http_server import listen, serving
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

_LONG = 3600.0
_PATIENT = HttpLimits(header_s=_LONG, body_s=_LONG, request_s=_LONG)
_POST = b"POST /orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 10\r\n\r\n"
_CHUNKED = b"POST /orders HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n"
_HEALTH = b"GET /health HTTP/1.1\r\nhost: shop\r\n\r\n"


class _App:
    """Reads the body of a POST; answers a GET of `/busy` when it is released."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.busy = 0
        self.calls: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls.append(scope["path"])
        status = 200
        if scope["path"] == "/busy":
            self.busy += 1
            await self.go.wait()
        elif scope["method"] == "POST":
            message = await receive()
            status = 413 if message["more_body"] else 200
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def _served(app: _App, limits: HttpLimits) -> AsyncIterator[int]:
    listener = listen(0)
    async with serving(app, listener, limits) as url:
        yield int(url.rpartition(":")[2])


class _Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def status(self) -> int:
        """Read the next response with its body, and return its status."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        if b"content-length: 2\r\n" in head:
            await self._reader.readexactly(2)
        return int(head.split(b" ")[1])

    async def all(self) -> bytes:
        """Return everything that arrives until the server closes the connection."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""

    @property
    def is_closed(self) -> bool:
        return self._reader.at_eof() or self._reader.exception() is not None

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def _clients(port: int, count: int) -> AsyncIterator[list[_Client]]:
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(count):
            client = _Client(*await asyncio.open_connection("127.0.0.1", port))
            stack.callback(client.close)
            clients.append(client)
        yield clients


@pytest.mark.parametrize("sent", [b"", b"G", b"POST /orders HTTP/1.1\r\nhost: shop\r\nx: "])
async def test_a_connection_without_a_request_is_closed(sent: bytes) -> None:
    limits = HttpLimits(header_s=0.1, body_s=_LONG, request_s=_LONG)
    async with _served(_App(), limits) as port, _clients(port, 1) as (client,):
        client.send(sent)
        answer = await client.all()
    assert (b"HTTP/1.1 408" if sent else b"") == answer[:12]


async def test_slow_headers_get_no_extra_time() -> None:
    limits = HttpLimits(header_s=0.2, body_s=_LONG, request_s=_LONG)
    async with _served(_App(), limits) as port, _clients(port, 1) as (client,):
        client.send(b"GET /health HTTP/1.1\r\nx: ")

        def drips() -> bool:
            client.send(b"x")
            return client.is_closed

        assert await eventually(drips, timeout_s=60, interval_s=0.02)


@pytest.mark.parametrize(
    "head",
    [_POST, b"POST /orders HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n"],
)
async def test_a_body_that_does_not_end_is_answered_408_and_the_connection_closed(
    head: bytes,
) -> None:
    limits = HttpLimits(header_s=_LONG, body_s=0.1, request_s=_LONG)
    async with _served(_App(), limits) as port, _clients(port, 1) as (client,):
        client.send(head)
        answer = await client.all()
    assert b"HTTP/1.1 408" == answer[:12]


async def test_a_request_that_takes_too_long_in_total_is_cut_off() -> None:
    limits = HttpLimits(header_s=_LONG, body_s=_LONG, request_s=0.1)
    app = _App()
    async with _served(app, limits) as port, _clients(port, 1) as (client,):
        client.send(b"GET /busy HTTP/1.1\r\nhost: shop\r\n\r\n")
        assert b"" == await client.all()
        app.go.set()


async def test_a_connection_is_used_again_and_its_clock_starts_anew() -> None:
    async with _served(_App(), _PATIENT) as port, _clients(port, 1) as (client,):
        statuses = []
        for _ in range(3):
            client.send(_POST + b"0123456789")
            statuses.append(await client.status())
        client.send(_HEALTH + _HEALTH)
        statuses += [await client.status(), await client.status()]
        assert not client.is_closed
    assert [200] * 5 == statuses


async def test_a_body_without_end_is_answered_before_it_is_read_and_then_cut_off() -> None:
    limits = HttpLimits(header_s=0.2, body_s=_LONG, request_s=_LONG)
    async with _served(_App(), limits) as port, _clients(port, 1) as (client,):
        client.send(_CHUNKED)

        def is_cut_off() -> bool:
            client.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            return client.is_closed

        answering = asyncio.create_task(client.status())
        assert await eventually(lambda: is_cut_off() and answering.done(), timeout_s=60)
        assert 413 == await answering


async def test_a_client_that_sends_too_much_gets_the_answer_and_may_send_again() -> None:
    async with _served(_App(), _PATIENT) as port, _clients(port, 1) as (client,):
        for _ in range(2):
            client.send(b"POST /orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 20000000\r\n\r\n")
            client.send(b"x" * 20_000_000)
            assert 413 == await client.status()
        client.send(_POST + b"0123456789")
        assert 200 == await client.status()


async def test_the_application_sees_no_request_before_its_whole_body() -> None:
    app = _App()
    async with _served(app, _PATIENT) as port, _clients(port, 2) as (slow, quick):
        slow.send(_POST + b"012345678")
        quick.send(_HEALTH)
        assert 200 == await quick.status()
        assert ["/health"] == app.calls
        slow.send(b"9")
        assert 200 == await slow.status()
    assert ["/health", "/orders"] == app.calls


async def test_a_server_that_stops_waits_for_no_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = _App()
    async with AsyncExitStack() as stack:
        async with _served(app, _PATIENT) as port:
            clients = await stack.enter_async_context(_clients(port, 4))
            for client, sent in zip(clients, (b"", b"G", _POST, _POST + b"0"), strict=True):
                client.send(sent)
            async with _clients(port, 1) as (visitor,):
                visitor.send(_HEALTH)
                assert 200 == await visitor.status()
        for client in clients:
            await client.all()
    assert [] == caplog.records


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = _App()
    async with _served(app, _PATIENT) as port, _clients(port, 2) as (client, visitor):
        client.send(_POST + b"0")
        client.close()
        visitor.send(_HEALTH)
        assert 200 == await visitor.status()
    assert [] == caplog.records


async def test_half_open_requests_make_room_for_newer_ones_and_health_is_answered() -> None:
    limits = HttpLimits(connections=8, spare=2, header_s=_LONG, body_s=_LONG, request_s=_LONG)
    async with _served(_App(), limits) as port, _clients(port, 40) as half_open:
        for client in half_open:
            client.send(_POST)

        def are_closed() -> bool:
            return sum(client.is_closed for client in half_open) >= 32

        assert await eventually(are_closed, timeout_s=60)
        async with _clients(port, 1) as (visitor,):
            visitor.send(_HEALTH)
            assert 200 == await visitor.status()
            visitor.send(_POST + b"0123456789")
            assert 200 == await visitor.status()


async def test_while_all_connections_are_busy_health_is_answered_and_the_rest_gets_503(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = HttpLimits(connections=3, spare=2, header_s=_LONG, body_s=_LONG, request_s=_LONG)
    app = _App()
    async with _served(app, limits) as port, _clients(port, 3) as busy:
        for client in busy:
            client.send(b"GET /busy HTTP/1.1\r\nhost: shop\r\n\r\n")
        assert await eventually(lambda: app.busy == 3, timeout_s=60)
        async with _clients(port, 1) as (visitor,):
            visitor.send(_HEALTH)
            assert 200 == await visitor.status()
            visitor.send(b"GET /orders/1 HTTP/1.1\r\nhost: shop\r\n\r\n")
            assert b"HTTP/1.1 503" == (await visitor.all())[:12]
        app.go.set()
        assert [200] * 3 == [await client.status() for client in busy]
    assert 1 == caplog.text.count("more than 3 connections")


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2",
    ],
)
async def test_an_invalid_request_is_answered_400_and_the_connection_closed(
    request_line: bytes,
) -> None:
    async with _served(_App(), _PATIENT) as port, _clients(port, 1) as (client,):
        client.send(request_line + b"\r\n\r\n")
        answer = await client.all()
    assert answer[:12] in {b"HTTP/1.1 400", b""}


async def test_an_invalid_chunk_ends_the_request() -> None:
    async with _served(_App(), _PATIENT) as port, _clients(port, 1) as (client,):
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
        answer = await client.all()
    assert b"HTTP/1.1 400" == answer[:12]


async def test_invalid_data_after_or_during_an_answer_closes_the_connection_without_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # More than the server waits for, so that the application has the request already.
    body = b"11000\r\n" + b"x" * 0x11000 + b"\r\n"
    async with _served(_App(), _PATIENT) as port, _clients(port, 2) as (first, second):
        first.send(_CHUNKED + body)
        assert 413 == await first.status()
        first.send(b"zz\r\n")
        assert b"" == await first.all()
        second.send(_CHUNKED + body + b"zz\r\n")
        assert (await second.all())[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 413"}
    assert [] == [record.name for record in caplog.records if record.levelname == "ERROR"]


async def test_other_clients_are_served_while_tiny_chunks_are_read() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with _served(_App(), _PATIENT) as port, _clients(port, 1) as (client,):
        taking = asyncio.create_task(take_turns())
        client.send(_CHUNKED + b"1\r\nx\r\n" * 60_000 + b"0\r\n\r\n")
        assert 200 == await client.status()
        taking.cancel()
    assert turns > 100
