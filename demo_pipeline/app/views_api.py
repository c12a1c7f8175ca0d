"""The HTTP API of analytics: its read models, each with how far it is behind.

`Prefer: wait=N` (RFC 7240) makes `GET /views/orders/{order_id}` wait up to N seconds until the view
has the order. With the parameter `position=TOPIC:PARTITION:OFFSET`, every view waits until it has
applied that record instead, and answers 503 if it has not by then.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from shlex import quote
from time import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.routing import Route

from demo_pipeline.app.http_answers import (
    ORDER_ID,
    answer,
    applied_preference,
    later,
    preferred_wait_s,
)
from demo_pipeline.app.http_limits import HEALTH
from demo_pipeline.app.http_spans import with_server_spans
from demo_pipeline.app.view_freshness import freshness_body, freshness_headers
from demo_pipeline.app.view_parameters import (
    WrongQueryError,
    cursor_after,
    cursor_in,
    limit_in,
    place_in,
    state_in,
)
from demo_pipeline.runtime.database import snapshot
from demo_pipeline.services.read_models import ORDERS, PRODUCTS, READ_MODELS
from demo_pipeline.services.views import order_row, orders_page, product_rows
from tracing import HttpBoundary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from demo_pipeline.runtime.service_context import ServiceContext
    from demo_pipeline.services.views import OrderPage
    from tracing.otlp import Providers
    from tracing.replay import KnownLog, LogPartition, Position
    from tracing.sql import Projection

    Query = Callable[[AsyncConnection], Awaitable[Any]]

_logger = logging.getLogger("demo_pipeline.analytics")
_USER_ID: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,64}")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one snapshot of a view shows.

    Attributes:
        result: What the query returned; `None` if there is nothing, or the view is not built.
        built: Whether the view is built.
        known: What was known of the log before.
        positions: How far the view is.
    """

    result: Any
    built: bool
    known: KnownLog
    positions: Mapping[LogPartition, Position]


def views_api(
    context: ServiceContext, providers: Providers, *, secrets: Collection[str] = ()
) -> ASGIApp:
    """Return the ASGI application of the service `analytics`, with a server span for each request.

    Args:
        context: What the service works with.
        providers: Where the spans go.
        secrets: What services of the shop show; their requests are part of their traces.
    """

    async def orders(request: Request) -> Response:
        async def page(connection: AsyncConnection) -> OrderPage:
            return await orders_page(connection, state=state, after=after, limit=limit)

        state, after, limit = state_in(request), cursor_in(request), limit_in(request)
        return await _show(ORDERS, page, _page_body, request, context)

    async def order(request: Request) -> Response:
        async def one(connection: AsyncConnection) -> Any:
            return await order_row(connection, order_id) if ORDER_ID.fullmatch(order_id) else None

        order_id = request.path_params["order_id"]
        return await _show(
            ORDERS, one, lambda row, _: {"order": row}, request, context, key=order_id
        )

    async def user(request: Request) -> Response:
        async def page(connection: AsyncConnection) -> OrderPage | None:
            if not _USER_ID.fullmatch(user_id):
                return None
            page = await orders_page(connection, user_id=user_id, after=after, limit=limit)
            return page if page.orders or after else None

        user_id = request.path_params["user_id"]
        after, limit = cursor_in(request), limit_in(request)
        return await _show(ORDERS, page, _page_body, request, context)

    async def products(request: Request) -> Response:
        return await _show(
            PRODUCTS, product_rows, lambda rows, _: {"products": rows}, request, context
        )

    routes = (
        Route("/views/orders", orders, methods=["GET"]),
        Route("/views/orders/{order_id}", order, methods=["GET"]),
        Route("/views/users/{user_id}", user, methods=["GET"]),
        Route("/views/products", products, methods=["GET"]),
        Route(HEALTH, _health, methods=["GET"]),
    )
    app = Starlette(routes=routes, exception_handlers={WrongQueryError: _wrong})
    instrumented = with_server_spans(app, routes, HEALTH, providers, personal={"user_id"})
    return HttpBoundary(instrumented, context.telemetry, caller="link", secrets=secrets)


async def _health(_request: Request) -> Response:
    return answer(200, {"status": "ok"})


async def _wrong(_request: Request, error: Exception) -> Response:
    return answer(400, {"error": str(error)})


async def _show(
    projection: Projection,
    query: Query,
    body: Callable[[Any, Request], dict[str, object]],
    request: Request,
    context: ServiceContext,
    *,
    key: str | None = None,
) -> Response:
    """Answer with a view, once it has what the client waits for, or the time is over."""

    def settled(seen: _Seen) -> bool:
        arrived = place is None or seen.known.passed(place.partition, place.offset, seen.positions)
        return not seen.built or (arrived and (key is None or seen.result is not None))

    place = place_in(request, projection)
    # A query that waits for nothing has nothing to wait for.
    wait_s = 0 if place is None and key is None else preferred_wait_s(request)
    try:
        awaited = await context.arrivals.until(
            settled,
            lambda: _look(projection, query, context),
            key=key if place is None else place.partition,
            wait_s=wait_s,
        )
    except (SQLAlchemyError, OSError) as error:
        _logger.warning("cannot read views (%s)", type(error).__name__)
        return later("cannot show views at the moment, try again")
    seen = awaited.result
    if not seen.built:
        return later(
            f"the read model {projection.name} is not built yet: build it with `python -m "
            f"demo_pipeline replay --read-model {quote(projection.name)}`"
        )
    now_s = time()
    freshness = seen.known.of(projection.topics).freshness(seen.positions)
    headers = {
        "cache-control": "no-cache",
        **freshness_headers(freshness, now_s),
        **(applied_preference(wait_s) if awaited.waited else {}),
    }
    state = freshness_body(freshness, now_s)
    if place is not None and not seen.known.passed(place.partition, place.offset, seen.positions):
        missing = f"the view has not applied {place.partition}@{place.offset} yet, try again"
        return answer(503, {"error": missing, **state}, {**headers, "retry-after": "1"})
    if seen.result is None:
        return answer(404, {"error": "the view has no such entry", **state}, headers)
    return answer(200, {**body(seen.result, request), **state}, headers)


async def _look(projection: Projection, query: Query, context: ServiceContext) -> _Seen:
    """Read rows and positions from one snapshot; the connection is returned at once."""
    # Before the snapshot, so that the view is never taken for newer than it is.
    known = context.ends.known()
    async with snapshot(context.database) as connection:
        if await READ_MODELS.active_generation(connection, projection.name) is None:
            return _Seen(None, built=False, known=known, positions={})
        positions = await READ_MODELS.positions(connection, projection.name)
        return _Seen(await query(connection), built=True, known=known, positions=positions)


def _page_body(page: OrderPage, request: Request) -> dict[str, object]:
    following = None
    if page.more:
        query = {**request.query_params, "cursor": cursor_after(page.orders[-1].order_id)}
        query.pop("position", None)
        following = f"{request.url.path}?{urlencode(query)}"
    return {"orders": page.orders, "next": following}
