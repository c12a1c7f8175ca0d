"""The shop's HTTP API: `POST /orders`, `GET /orders/{order_id}` and `GET /health`."""

from __future__ import annotations

import logging
import uuid
from time import time
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from demo_pipeline.app.http_answers import answer
from demo_pipeline.app.http_limits import HEALTH
from demo_pipeline.app.http_spans import with_server_spans
from demo_pipeline.app.shown_order import show_order
from demo_pipeline.domain.commands import PlaceOrder
from demo_pipeline.domain.order_request import order_from
from demo_pipeline.domain.order_states import OrderState
from demo_pipeline.runtime.publishing import perform
from demo_pipeline.services.orders import place_order, place_order_with_notice
from tracing import HttpBoundary

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from demo_pipeline.runtime.service_context import ServiceContext
    from tracing.otlp import Providers

_logger = logging.getLogger("demo_pipeline.orders")
_MAX_BODY: Final = 64 * 1024


def http_api(
    context: ServiceContext,
    providers: Providers,
    *,
    notices: bool = False,
    secrets: Collection[str] = (),
) -> ASGIApp:
    """Return the ASGI application of the service `orders`, with a server span for each request.

    An accepted order is stored together with its event, so that Kafka may be down meanwhile.

    Args:
        context: What the service works with.
        providers: Where the spans go.
        notices: Whether a notice is published beside the event of an accepted order.
        secrets: What services of the shop show; their requests are part of their traces.
    """
    accept = place_order_with_notice if notices else place_order

    async def place(request: Request) -> Response:
        body = await _body(request)
        if isinstance(body, Response):
            return body
        try:
            order = order_from(body, order_id=uuid.uuid4().hex)
        except ValueError as error:
            return answer(400, {"error": str(error)})
        try:
            await perform(accept, PlaceOrder(order), context)
        except (SQLAlchemyError, OSError):
            _logger.exception("cannot store order %s", order.order_id)
            return answer(503, {"error": "cannot accept orders at the moment, try again"})
        context.durations.moved(order.order_id, OrderState.PLACED, time())
        _logger.info("order %s was accepted", order.order_id)
        span_context = trace.get_current_span().get_span_context()
        trace_id = trace.format_trace_id(span_context.trace_id)
        accepted = {"order_id": order.order_id, "trace_id": trace_id}
        return answer(202, accepted, {"location": f"/orders/{order.order_id}"})

    async def show(request: Request) -> Response:
        return await show_order(request, context)

    async def health(_request: Request) -> Response:
        return answer(200, {"status": "ok"})

    routes = (
        Route("/orders", place, methods=["POST"]),
        Route("/orders/{order_id}", show, methods=["GET"]),
        Route(HEALTH, health, methods=["GET"]),
    )
    # Health checks come every few seconds and are never of interest.
    instrumented = with_server_spans(Starlette(routes=routes), routes, HEALTH, providers)
    # Customers are untrusted: none may decide about sampling or name a flow.
    return HttpBoundary(instrumented, context.telemetry, caller="link", secrets=secrets)


def _is_json(request: Request) -> bool:
    """Return whether the body may be JSON: the content type says so, or is missing."""
    kind, _, parameters = request.headers.get("content-type", "application/json").partition(";")
    _, _, charset = parameters.replace(" ", "").lower().partition("charset=")
    plain = request.headers.get("content-encoding", "identity").lower() == "identity"
    return (
        plain
        and kind.strip().lower() == "application/json"
        and charset.strip('"') in {"", "utf-8", "utf8"}
    )


async def _body(request: Request) -> bytes | Response:
    """Read the body; return an error response if it cannot be an order."""
    if not _is_json(request):
        return answer(415, {"error": "send an order as application/json, in UTF-8"})
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            return answer(413, {"error": f"an order must not exceed {_MAX_BODY} bytes"})
    return bytes(body)
