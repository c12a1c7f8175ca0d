"""What a query of a view may ask for: a state, a page, and a record that has to be applied."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.app.http_answers import ORDER_ID
from demo_pipeline.domain.order_states import OrderState
from tracing.replay import LogPartition

if TYPE_CHECKING:
    from starlette.requests import Request

    from tracing.sql import Projection

_LIMIT: Final = 50
_MAX_LIMIT: Final = 500
_POSITION: Final = re.compile(r"([A-Za-z0-9._-]{1,249}):([0-9]{1,9}):([0-9]{1,18})")


class WrongQueryError(ValueError):
    """A query has a wrong parameter; the message says which, and what is right."""


@dataclass(frozen=True, slots=True)
class Place:
    """A record's place in the log, which the view has to have applied."""

    partition: LogPartition
    offset: int


def state_in(request: Request) -> OrderState | None:
    """Return the state to choose by; `None` for all.

    Raises:
        WrongQueryError: It is malformed.
    """
    text = request.query_params.get("state")
    if text is None:
        return None
    try:
        return OrderState(text)
    except ValueError:
        raise WrongQueryError(f"state is one of {', '.join(OrderState)}") from None


def limit_in(request: Request) -> int:
    """Return how many orders a page has at most.

    Raises:
        WrongQueryError: It is malformed.
    """
    text = request.query_params.get("limit", str(_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_LIMIT))):
        text = "0"
    if not 1 <= int(text) <= _MAX_LIMIT:
        raise WrongQueryError(f"limit is a number from 1 to {_MAX_LIMIT}")
    return int(text)


def cursor_after(order_id: str) -> str:
    """Return the cursor of the page that follows an order."""
    return base64.urlsafe_b64encode(order_id.encode()).decode().rstrip("=")


def cursor_in(request: Request) -> str:
    """Return the last id of the page before; empty for the first page.

    Raises:
        WrongQueryError: It is malformed.
    """
    text = request.query_params.get("cursor")
    if text is None:
        return ""
    try:
        after = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        after = ""
    if not ORDER_ID.fullmatch(after):
        raise WrongQueryError("cursor is what `next` of the page before holds")
    return after


def place_in(request: Request, projection: Projection) -> Place | None:
    """Return the record that the view has to have applied, if the client names one.

    Raises:
        WrongQueryError: It is malformed.
    """
    text = request.query_params.get("position")
    if text is None:
        return None
    match = _POSITION.fullmatch(text)
    if match is None or match[1] not in projection.topics:
        raise WrongQueryError(
            "position is TOPIC:PARTITION:OFFSET of a record that the view reads, of "
            f"{', '.join(projection.topics)}"
        )
    return Place(LogPartition(match[1], int(match[2])), int(match[3]))
