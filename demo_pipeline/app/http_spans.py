"""Spans and metrics of the shop's HTTP API and its callers, by OpenTelemetry's instrumentation."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.util.http import sanitize_method
from starlette.routing import Match

from tracing import HttpBoundary

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, MutableMapping, Sequence

    import httpx
    from opentelemetry.instrumentation.httpx import RequestInfo
    from opentelemetry.trace import Span
    from starlette.routing import Route
    from starlette.types import ASGIApp

    from tracing.otlp import Providers

_OPT_IN: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"


def with_server_spans(
    app: ASGIApp,
    routes: Sequence[Route],
    excluded: str,
    providers: Providers,
    *,
    personal: Container[str] = (),
) -> ASGIApp:
    """Return the application with a server span and metrics for each request.

    Args:
        app: The application.
        routes: Its routes, which name the spans.
        excluded: The path that has no spans.
        providers: Where they go.
        personal: Parameters of routes that name a person. Paths with one are not recorded; the
            route is.
    """

    def requested(span: Span, scope: MutableMapping[str, Any]) -> None:
        HttpBoundary.link(span, scope)
        for route in routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                if any(name in personal for name in found["path_params"]):
                    span.set_attribute("url.path", route.path)
                return

    with _stable_conventions():
        instrumented: ASGIApp = OpenTelemetryMiddleware(
            app,
            excluded_urls=excluded,
            default_span_details=lambda scope: _span_details(scope, routes),
            tracer_provider=providers.tracer_provider,
            meter_provider=providers.meter_provider,
            # A span per ASGI message would only hide the useful ones.
            exclude_spans=["receive", "send"],
            server_request_hook=requested,
        )
    return instrumented


def with_client_spans(client: httpx.AsyncClient, route: str, providers: Providers) -> None:
    """Give a client a span and metrics for each of its requests.

    Args:
        client: The client.
        route: The route that it calls, which names the spans.
        providers: Where they go.
    """

    async def named(span: Span, request: RequestInfo) -> None:
        span.update_name(f"{request.method.decode()} {route}")
        span.set_attribute("url.template", route)

    with _stable_conventions():
        HTTPXClientInstrumentor.instrument_client(
            client,
            tracer_provider=providers.tracer_provider,
            meter_provider=providers.meter_provider,
            request_hook=named,
        )


@contextmanager
def _stable_conventions() -> Iterator[None]:
    """Choose the stable HTTP conventions for what is instrumented in this block.

    The default of the instrumentation is still the deprecated ones. It reads its choice from the
    environment, once in a process. What the user has set stays; else the variable is gone again
    after the block, and the programs that the demo starts do not inherit it.
    """
    if _OPT_IN in os.environ:
        yield
        return
    os.environ[_OPT_IN] = "http"
    try:
        yield
    finally:
        del os.environ[_OPT_IN]


def _span_details(
    scope: MutableMapping[str, Any], routes: Sequence[Route]
) -> tuple[str, dict[str, str]]:
    # Named after the route: a path has an order's id, or is made up by the caller.
    for route in routes:
        if route.matches(scope)[0] is Match.FULL:
            return f"{scope['method']} {route.path}", {"http.route": route.path}
    method = sanitize_method(scope["method"])
    return "HTTP" if method == "_OTHER" else str(method), {}
