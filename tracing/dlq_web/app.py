"""The application: which address leads to which page, and what errors look like."""

from __future__ import annotations

from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from tracing.dlq_web.guard import LOOPBACK, Guard
from tracing.dlq_web.pages import Pages
from tracing.dlq_web.problems import PageError, no_answer
from tracing.dlq_web.reading import Reading
from tracing.dlq_web.rendering import Rendering
from tracing.dlq_web.replay_pages import ReplayPages
from tracing.dlq_web.replay_plans import Plans

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from tracing.dlq_web.guard import Secrets
    from tracing.dlq_web.settings import Settings


def application(
    settings: Settings,
    secrets: Secrets,
    hosts: frozenset[str] = frozenset(),
    plans: Plans | None = None,
) -> ASGIApp:
    """Return the application.

    Args:
        settings: The options of the server.
        secrets: The secrets of this start.
        hosts: Names of this host that browsers may use, besides those of the loopback interface.
        plans: The plans of replays, for callers that ask for their state.
    """
    plans = plans or Plans(settings, Reading(settings))
    rendering = Rendering(settings, secrets)
    pages = Pages(settings, plans.reading, rendering)
    replays = ReplayPages(settings, plans, rendering, secrets)
    style = (files("tracing.dlq_web") / "style.css").read_bytes()
    failures = _Failures(settings, rendering)
    routes = [
        Route("/", pages.overview),
        Route("/letters", pages.letters),
        Route("/letter", pages.letter),
        Route("/replay", replays.make, methods=["POST"]),
        Route("/replay/{plan}", replays.show),
        Route("/replay/{plan}/send", replays.send, methods=["POST"]),
        Route("/style.css", lambda _: Response(style, media_type="text/css")),
    ]
    app = Starlette(
        routes=[Mount(secrets.base, routes=routes)],
        exception_handlers={
            PageError: failures.refused,
            KafkaError: failures.unavailable,
            OSError: failures.unavailable,
            LookupError: failures.unavailable,
            HTTPException: failures.by_status,
            Exception: failures.mistake,
        },
    )
    return Guard(app, secrets, LOOPBACK | hosts, rendering.problem)


class _Failures:
    """Makes the pages for errors."""

    def __init__(self, settings: Settings, rendering: Rendering) -> None:
        self._settings = settings
        self._rendering = rendering

    async def refused(self, _: Request, error: Exception) -> Response:
        """Show an error that was raised for the operator."""
        if not isinstance(error, PageError):
            raise error
        return self._rendering.problem(error)

    async def unavailable(self, request: Request, error: Exception) -> Response:
        """Show why the cluster cannot be used."""
        why = self._settings.explain(error)
        if why is None:
            raise error
        retry = str(request.url.replace(scheme="", netloc="")) if request.method == "GET" else None
        return self._rendering.problem(no_answer(why), retry)

    async def by_status(self, _: Request, error: Exception) -> Response:
        """Show an error of the framework, such as an address that leads nowhere."""
        if not isinstance(error, HTTPException):
            raise error
        status = HTTPStatus(error.status_code)
        return self._rendering.problem(PageError(status, f"{status.phrase}", ""))

    async def mistake(self, _: Request, error: Exception) -> Response:
        """Show that the program is at fault. The server logs the error."""
        title = "The server made a mistake"
        text = f"It is described in its terminal ({type(error).__name__})."
        return self._rendering.problem(PageError(HTTPStatus.INTERNAL_SERVER_ERROR, title, text))
