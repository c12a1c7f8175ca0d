"""`GET /orders/{order_id}`: JSON by default, a page for people by content negotiation.

`Prefer: wait=N` (RFC 7240) waits up to N seconds while the outcome of the order is open.
"""

from __future__ import annotations

import logging
from time import time
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import HTMLResponse

from demo_pipeline.app.http_answers import (
    ORDER_ID,
    answer,
    applied_preference,
    preferred_wait_s,
)
from demo_pipeline.app.negotiation import preferred_type
from demo_pipeline.app.order_page import PAGE_HEADERS, Outlook, message_page, order_page
from demo_pipeline.domain.order_states import END_STATES
from demo_pipeline.services.orders import status_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from demo_pipeline.runtime.service_context import ServiceContext
    from demo_pipeline.services.orders import OrderStatus

_logger = logging.getLogger("demo_pipeline.orders")
_JSON: Final = "application/json"
_HTML: Final = "text/html"
_NOT_FOUND: Final = 404
# It is one customer's, and it changes.
_HEADERS: Final = {"vary": "Accept, Prefer", "cache-control": "no-store"}


async def show_order(request: Request, context: ServiceContext) -> Response:
    """Answer with the status of an order, in the form that the client prefers."""
    as_page = preferred_type(request.headers.get("accept"), (_JSON, _HTML)) == _HTML
    if context.faults.orders_api_is_down():
        return _no_order(503, "cannot show orders at the moment, try again", as_page=as_page)
    order_id, wait_s = request.path_params["order_id"], preferred_wait_s(request)
    if not ORDER_ID.fullmatch(order_id):
        return _no_order(_NOT_FOUND, "there is no such order", as_page=as_page)

    async def status_now() -> OrderStatus | None:
        async with context.database.connect() as connection:
            return await status_of(order_id, connection)

    try:
        awaited = await context.arrivals.until(_is_settled, status_now, key=order_id, wait_s=wait_s)
    except (SQLAlchemyError, OSError) as error:
        _logger.warning("cannot read orders (%s)", type(error).__name__)
        return _no_order(503, "cannot show orders at the moment, try again", as_page=as_page)
    status = awaited.result
    preference = applied_preference(wait_s) if awaited.waited else {}
    if status is None:
        return _no_order(_NOT_FOUND, "there is no such order", preference, as_page=as_page)
    headers = {**_HEADERS, **preference}
    if as_page:
        page = order_page(status, _outlook(status, context))
        return HTMLResponse(page, headers={**headers, **PAGE_HEADERS})
    return answer(200, status, headers)


def _is_settled(status: OrderStatus | None) -> bool:
    """Return whether waiting would show nothing new soon."""
    return status is None or status.state in END_STATES


def _outlook(status: OrderStatus, context: ServiceContext) -> Outlook:
    durations = context.durations
    return Outlook(
        durations.usual_s(status.state),
        durations.so_far_s(status.order_id, status.state),
        context.ends.known().freshness({}).behind_s(time()),
    )


def _no_order(
    status: int, error: str, headers: Mapping[str, str] | None = None, *, as_page: bool
) -> Response:
    headers = {**_HEADERS, **(headers or {})}
    if not as_page:
        return answer(status, {"error": error}, headers)
    title = "No such order" if status == _NOT_FOUND else "Please try again"
    return HTMLResponse(
        message_page(title, f"{error.capitalize()}."), status, {**headers, **PAGE_HEADERS}
    )
