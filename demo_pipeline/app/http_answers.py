"""Answers of the shop's HTTP APIs in JSON, and what a `Prefer` header asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

LONGEST_WAIT_S: Final = 30
"""The longest time that a request may wait: half of what the server gives a request."""

# No other ids exist, and no database accepts some of them, such as NUL.
ORDER_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
"""What the id of an order looks like."""

_WAIT: Final = re.compile(r'wait\s*=\s*"?(\d{1,9})"?\s*(?:;.*)?', re.IGNORECASE)


def answer(status: int, content: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response in JSON."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def later(error: str) -> Response:
    """Return a response that asks to try again."""
    return answer(503, {"error": error}, {"retry-after": "1"})


def preferred_wait_s(request: Request) -> int:
    """Return how long a client prefers to wait, `Prefer: wait=N` (RFC 7240), within the bound.

    0 where it does not say. Of several, the first one counts, and what is malformed is ignored.
    """
    for header in request.headers.getlist("prefer"):
        for preference in header.split(","):
            match = _WAIT.fullmatch(preference.strip())
            if match is not None:
                return min(int(match[1]), LONGEST_WAIT_S)
    return 0


def applied_preference(wait_s: int) -> dict[str, str]:
    """Return the headers that say that a preference was honoured, for how many seconds."""
    return {"preference-applied": f"wait={wait_s}"}
