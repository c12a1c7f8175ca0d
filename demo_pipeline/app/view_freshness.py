"""How far a view is behind, as a body and as headers.

Every body says `as_of`, the event time that the view has reached, and `behind_by`, and so do the
headers `View-As-Of` and `View-Behind-By`. No standard header means this: `Age` and `Last-Modified`
speak of a response, and caches act on them. The second one is a dictionary of structured fields
(RFC 9651), as in `seconds=1.500, records=3`. What is not known is null in the body, and its header
is missing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracing.replay import Freshness


def freshness_body(freshness: Freshness, now_s: float) -> dict[str, object]:
    """Return the fields of a body that say how far the view is behind."""
    behind_s = freshness.behind_s(now_s)
    behind = None
    if behind_s is not None:
        behind = {"seconds": round(behind_s, 3), "records": freshness.records}
    return {"as_of": _as_of(freshness), "behind_by": behind}


def freshness_headers(freshness: Freshness, now_s: float) -> dict[str, str]:
    """Return the headers that say how far the view is behind."""
    headers = {}
    as_of, behind_s = _as_of(freshness), freshness.behind_s(now_s)
    if as_of is not None:
        headers["view-as-of"] = as_of
    if behind_s is not None:
        headers["view-behind-by"] = f"seconds={behind_s:.3f}, records={freshness.records}"
    return headers


def _as_of(freshness: Freshness) -> str | None:
    if freshness.as_of_ms is None:
        return None
    moment = datetime.fromtimestamp(freshness.as_of_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
