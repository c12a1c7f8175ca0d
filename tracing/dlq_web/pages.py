"""The pages that only read: all dead letters, those of a group, and a single one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracing.core.text import printable
from tracing.dlq.documents import dead_letter_document
from tracing.dlq.places import LetterId
from tracing.dlq_web.choice import Choice, fits
from tracing.dlq_web.problems import not_found, not_valid
from tracing.dlq_web.rendering import command_for, group_choice, trace_link
from tracing.headers.cloudevents import CONTENT_TYPE
from tracing.headers.dead_letter import ERRORS, REPLAY_HEADERS, STACKTRACE
from tracing.headers.w3c import TRACEPARENT, TRACESTATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from tracing.dlq.reading import Letter
    from tracing.dlq.summary import Group
    from tracing.dlq_web.reading import Reading
    from tracing.dlq_web.rendering import Rendering
    from tracing.dlq_web.settings import Settings

_MOST_ROWS: Final = 500
_MOST_HEADERS: Final = 256
_VALUE: Final = 500
# What these hold is made by this library or by CloudEvents, and no application's secret.
_OPEN_PREFIXES: Final = ("ce_", ERRORS)
_OPEN: Final = REPLAY_HEADERS | {TRACEPARENT, TRACESTATE, CONTENT_TYPE}
_HIDDEN: Final = frozenset({STACKTRACE})


class Row(NamedTuple):
    """A group of dead letters in the overview.

    Attributes:
        choice: What selects them.
        counted: The counts.
    """

    choice: Choice
    counted: Group


class Field(NamedTuple):
    """A header of a record.

    Attributes:
        name: Its name.
        size: Bytes of its value; `None` without one.
        text: Its value, or `None` if that may be private.
    """

    name: str
    size: int | None
    text: str | None


class Pages:
    """Handles the requests of the pages that only read.

    Args:
        settings: The options of the server.
        reading: Reads dead letters.
        rendering: Makes pages.
    """

    def __init__(self, settings: Settings, reading: Reading, rendering: Rendering) -> None:
        self._settings = settings
        self._reading = reading
        self._rendering = rendering

    async def overview(self, request: Request) -> Response:
        """Show all dead letters, by topic, group and error."""
        query = request.query_params
        wanted = {name: query.get(name, "").strip() for name in ("topic", "group", "error")}
        waiting = query.get("state") == "waiting"
        overview = await self._reading.overview(wanted["topic"])
        fitting = [
            (key, counted)
            for key, counted in overview.summary.groups.items()
            if fits(wanted["group"], key[2])
            and fits(wanted["error"], key[3])
            and not (waiting and counted.replayed == counted.letters)
        ]
        fitting.sort(key=lambda each: (-each[1].letters, each[0]))
        rows = [
            Row(group_choice(key, waiting=waiting), counted)
            for key, counted in fitting[:_MOST_ROWS]
        ]
        return self._rendering.page(
            "overview",
            overview=overview,
            rows=rows,
            more=len(fitting) > len(rows),
            wanted=wanted,
            waiting=waiting,
        )

    async def letters(self, request: Request) -> Response:
        """Show some of the dead letters of a topic."""
        try:
            choice = Choice.of(request.query_params)
        except ValueError as error:
            raise not_valid(error) from None
        page = await self._reading.page(choice)
        return self._rendering.page(
            "letters", choice=choice, page=page, command=command_for(choice, self._settings)
        )

    async def letter(self, request: Request) -> Response:
        """Show one dead letter."""
        try:
            place = LetterId.parse(request.query_params.get("id", ""))
        except ValueError as error:
            raise not_valid(error) from None
        found, problem = await self._reading.one(place)
        dead_letter = found.dead_letter
        if dead_letter.provenance is None and dead_letter.problem is None:
            raise not_found(f"{place} is no dead letter: it does not say where it came from")
        payload = self._settings.show_payload and "payload" in request.query_params
        document = dead_letter_document(dead_letter, payload=payload, stacktrace=payload)
        return self._rendering.page(
            "letter",
            found=found,
            problem=problem,
            document=document,
            fields=list(_fields(dead_letter, everything=payload)),
            more_headers=max(0, len(dead_letter.record.headers) - _MOST_HEADERS),
            payload=payload,
            trace=trace_link(self._settings, dead_letter),
        )


def _fields(dead_letter: Letter, *, everything: bool) -> Iterator[Field]:
    headers: Any = dead_letter.record.headers
    for name, value in headers[:_MOST_HEADERS]:
        open_name = name in _OPEN or name.startswith(_OPEN_PREFIXES)
        shown = everything or (open_name and name not in _HIDDEN)
        if value is None:
            yield Field(name, None, None)
        else:
            text = value[: _VALUE + 1].decode("utf-8", "backslashreplace")
            yield Field(name, len(value), printable(text, _VALUE) if shown else None)
