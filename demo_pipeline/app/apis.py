"""Which services have an HTTP API, and which one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demo_pipeline.app.http_api import http_api
from demo_pipeline.app.views_api import views_api
from demo_pipeline.services import analytics, orders

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from demo_pipeline.runtime.orders_api import OrdersApi
    from demo_pipeline.runtime.scenarios import Scenario
    from demo_pipeline.runtime.service import Service
    from demo_pipeline.runtime.service_context import ServiceContext
    from tracing.otlp import Providers

SERVED: Final = frozenset({orders.SERVICE.name, analytics.SERVICE.name})
"""The services that have an HTTP API."""


def api_of(
    service: Service,
    context: ServiceContext,
    providers: Providers,
    *,
    story: Scenario,
    orders_api: OrdersApi | None,
) -> ASGIApp:
    """Return the ASGI application of a service that has an HTTP API.

    Args:
        service: The service.
        context: What it works with.
        providers: Where its spans go.
        story: The scenario.
        orders_api: What services of the shop show to be recognised.
    """
    secrets = () if orders_api is None else (orders_api.secret,)
    if service is analytics.SERVICE:
        return views_api(context, providers, secrets=secrets)
    return http_api(context, providers, notices=story.notices, secrets=secrets)
