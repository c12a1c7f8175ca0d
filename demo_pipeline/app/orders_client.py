"""The client with which services of the shop call the orders API, in the trace of their work."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import httpx

from demo_pipeline.app.http_spans import with_client_spans
from tracing import HttpBoundary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo_pipeline.runtime.orders_api import OrdersApi
    from tracing.otlp import Providers

# Far more than an answer takes: the record is tried again, and those behind it wait meanwhile.
_TIMEOUT_S: Final = 2.0
# Shorter than the server's: a request must not be sent on a connection that is closing.
_KEEP_ALIVE_S: Final = 1.0


@asynccontextmanager
async def orders_client(api: OrdersApi, providers: Providers) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the orders API, which is closed at the end of the block.

    Its requests are spans of the message that is being handled, and show the secret by which the
    API takes them for the shop's own.

    Args:
        api: Where the API is.
        providers: Where the spans go.
    """
    async with httpx.AsyncClient(
        base_url=api.url,
        headers={HttpBoundary.CALLER_HEADER: api.secret},
        timeout=_TIMEOUT_S,
        limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE_S),
        # Without the environment's proxies, which cannot reach a loopback address.
        trust_env=False,
    ) as client:
        with_client_spans(client, "/orders/{order_id}", providers)
        yield client
