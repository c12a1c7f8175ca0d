"""What the headers of an HTTP caller may do: three kinds of callers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

from tracing import HttpBoundary, Telemetry, TracedProducer
from tracing.headers.flow import in_flow
from tracing.testing import Capture, InMemoryBroker, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracing.messaging.http_boundary import Caller

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
SECRETS = ("the-old-one-4f81d2", "the-new-one-9c07aa")


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture() as found:
        yield found


class Shop:
    """An application that sends one record a request, behind a boundary and a server span."""

    def __init__(self, capture: Capture, caller: Caller, secrets: tuple[str, ...] = ()) -> None:
        self.telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
        )
        self.broker = InMemoryBroker()
        self.seen: list[dict[str, Any]] = []
        instrumented: Any = OpenTelemetryMiddleware(
            self._answer,
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
            exclude_spans=["receive", "send"],
            server_request_hook=HttpBoundary.link,
        )
        self.app: Any = HttpBoundary(instrumented, self.telemetry, caller=caller, secrets=secrets)

    async def _answer(self, scope: Any, _receive: Any, send: Any) -> None:
        self.seen.append({"headers": scope["headers"], "baggage": dict(baggage.get_all())})
        async with TracedProducer(InMemoryProducer(self.broker), self.telemetry) as producer:
            await producer.send_and_wait("orders", b"v")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def request(self, headers: dict[str, str]) -> dict[str, bytes | None]:
        scope = {
            "type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b"",
            "scheme": "http", "http_version": "1.1", "server": ("shop", 80), "client": None,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_message: Any) -> None:
            """Take the answer."""

        await self.app(scope, receive, send)
        return dict(self.broker.records("orders")[-1].headers)


@pytest.mark.parametrize("caller", ["link", "ignore"])
@pytest.mark.parametrize("case", [str.lower, str.title])
async def test_an_outsider_neither_switches_tracing_off_nor_adds_baggage(
    capture: Capture, caller: Caller, case: Any
) -> None:
    shop = Shop(capture, caller)
    sent = await shop.request({
        case("traceparent"): UNSAMPLED,
        case("tracestate"): "a=b",
        case("baggage"): "pipeline.name=EVIL,pipeline.origin=1000000000000,tenant=x",
        "accept": "text/plain",
    })  # fmt: skip

    server = next(span for span in capture.spans() if span.kind is trace.SpanKind.SERVER)
    assert None is server.parent
    assert server.context is not None
    assert f"{server.context.trace_id:032x}".encode() == (sent["traceparent"] or b"")[3:35]
    assert (sent["traceparent"] or b"").endswith((b"01", b"03"))
    assert (sent["baggage"] or b"").startswith(b"pipeline.name=orders,pipeline.origin=")
    assert b"tenant" not in (sent["baggage"] or b"")
    assert [{"headers": [(b"accept", b"text/plain")], "baggage": {}}] == shop.seen
    linked = [f"{link.context.trace_id:032x}" for link in server.links]
    assert ([TRACE] if caller == "link" else []) == linked
    assert 0 == capture.metric("pipeline.context.invalid")


async def test_a_trusted_caller_continues_its_trace_and_flow(capture: Capture) -> None:
    origin = int(time.time() * 1000) - 5000
    flow = f"pipeline.name=billing,pipeline.origin={origin},tenant=x"

    sent = await Shop(capture, "trust").request({"traceparent": SAMPLED, "baggage": flow})

    assert TRACE.encode() == (sent["traceparent"] or b"")[3:35]
    assert flow.encode() == sent["baggage"]


async def test_the_origin_of_a_trusted_caller_is_checked_too(capture: Capture) -> None:
    flow = "pipeline.name=billing,pipeline.origin=1000000000000"

    sent = await Shop(capture, "trust").request({"baggage": flow})

    assert b"1000000000000" not in (sent["baggage"] or b"")
    assert 1 == capture.metric("pipeline.context.invalid", {"reason": "origin"})


@pytest.mark.parametrize("caller", ["trust", "link", "ignore"])
async def test_a_request_does_not_inherit_the_flow_in_which_the_server_started(
    capture: Capture, caller: Caller
) -> None:
    token = attach(Context({**get_current(), **in_flow({"pipeline.name": "startup"})}))
    sent = await Shop(capture, caller).request({})
    detach(token)

    assert (sent["baggage"] or b"").startswith(b"pipeline.name=orders,pipeline.origin=")


@pytest.mark.parametrize("header", ["%%%", "\ufffd" * 9, "x" * 9000, "=,=,=;;"])
async def test_no_header_of_a_caller_raises(capture: Capture, header: str) -> None:
    for caller in ("trust", "link", "ignore"):
        given = {"traceparent": header, "tracestate": header, "baggage": header}
        sent = await Shop(capture, caller).request(given)
        assert (sent["baggage"] or b"").startswith(b"pipeline.name=orders")


@pytest.mark.parametrize("caller", ["trust", "link", "ignore"])
async def test_headers_that_can_be_read_once_reach_the_application(
    capture: Capture, caller: Caller
) -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(list(scope["headers"]))

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    scope: Any = {"type": "websocket", "headers": iter([(b"accept", b"*/*")])}
    boundary = HttpBoundary(app, Shop(capture, caller).telemetry, caller=caller)
    await boundary(scope, nothing, nothing)

    assert [[(b"accept", b"*/*")]] == seen


async def test_a_scope_without_headers_passes_unchanged(capture: Capture) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    scope = {"type": "lifespan"}
    await HttpBoundary(app, Shop(capture, "link").telemetry)(scope, nothing, nothing)

    assert [(scope, nothing, nothing)] == seen


def test_an_unknown_kind_of_caller_is_refused(capture: Capture) -> None:
    with pytest.raises(ValueError, match="'trust', 'link' or 'ignore'"):
        Shop(capture, "forget")  # type: ignore[arg-type]  # that is the point


def _server(capture: Capture) -> Any:
    return next(span for span in capture.spans() if span.kind is trace.SpanKind.SERVER)


@pytest.mark.parametrize("caller", ["link", "ignore", "trust"])
@pytest.mark.parametrize("secret", SECRETS)
async def test_a_service_that_shows_a_secret_continues_its_trace_and_flow(
    capture: Capture, caller: Caller, secret: str
) -> None:
    shop = Shop(capture, caller, SECRETS)
    flow = f"pipeline.name=billing,pipeline.origin={int(time.time() * 1000) - 5000}"

    sent = await shop.request(
        {"Traceparent": SAMPLED, "baggage": flow, "X-Pipeline-Caller": secret, "accept": "a/b"}
    )

    assert (TRACE, "00f067aa0ba902b7") == (
        f"{_server(capture).context.trace_id:032x}",
        f"{_server(capture).parent.span_id:016x}",
    )
    assert TRACE.encode() == (sent["traceparent"] or b"")[3:35]
    assert flow.encode() == sent["baggage"]


@pytest.mark.parametrize("caller", ["link", "ignore", "trust"])
@pytest.mark.parametrize("secrets", [(), SECRETS])
async def test_the_application_never_sees_a_secret(
    capture: Capture, caller: Caller, secrets: tuple[str, ...]
) -> None:
    shop = Shop(capture, caller, secrets)

    await shop.request({"X-Pipeline-Caller": SECRETS[0], "accept": "a/b"})

    assert [[b"accept"]] == [[name for name, _ in seen["headers"]] for seen in shop.seen]


@pytest.mark.parametrize("guess", ["", "wrong", SECRETS[0][:-1], SECRETS[0] + "x", "\u00e4" * 20])
async def test_a_caller_with_a_wrong_secret_is_an_outsider(capture: Capture, guess: str) -> None:
    shop = Shop(capture, "link", SECRETS)

    await shop.request({"traceparent": UNSAMPLED, "x-pipeline-caller": guess})

    assert None is _server(capture).parent
    assert [TRACE] == [f"{link.context.trace_id:032x}" for link in _server(capture).links]


async def test_without_secrets_no_caller_can_show_one(capture: Capture) -> None:
    await Shop(capture, "link").request({"traceparent": SAMPLED, "x-pipeline-caller": ""})

    assert None is _server(capture).parent


@pytest.mark.parametrize("secret", ["too short", "\u00e4" * 20, "line\nbreak, which is long"])
def test_a_secret_that_is_weak_or_cannot_be_sent_is_refused_and_not_shown(
    capture: Capture, secret: str
) -> None:
    with pytest.raises(ValueError, match="at least 16 printable ASCII") as refused:
        Shop(capture, "link", (secret,))

    assert secret not in str(refused.value)


def test_a_text_instead_of_several_secrets_is_refused(capture: Capture) -> None:
    with pytest.raises(TypeError, match="collection of texts"):
        Shop(capture, "link", SECRETS[0])  # type: ignore[arg-type]  # that is the point
