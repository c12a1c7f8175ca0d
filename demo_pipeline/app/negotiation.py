"""Content negotiation by `Accept` (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_Q: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_RANGE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def preferred_type(accept: str | None, offered: Sequence[str]) -> str:
    """Return the media type that a client prefers; the first one where it does not matter.

    A client that accepts none of them gets the first one too, as RFC 9110 allows: an answer that it
    did not ask for says more than an error.

    Args:
        accept: The value of the header; `None` without it.
        offered: The media types, without parameters.
    """
    qualities = _qualities(accept or "")
    if not qualities:
        return offered[0]
    return max(offered, key=lambda media_type: _quality_of(media_type, qualities))


def _qualities(accept: str) -> dict[str, float]:
    """Return the quality of each media range; what is malformed is ignored."""
    qualities = {}
    for part in accept.split(","):
        media_range, *parameters = (each.strip().lower() for each in part.split(";"))
        if not _RANGE.fullmatch(media_range):
            continue
        q = next((each[2:].strip() for each in parameters if each.startswith("q=")), "1")
        # A range with other parameters, such as a version, is for none of the offered types.
        if _Q.fullmatch(q) and all(each.startswith(("q=", "charset=")) for each in parameters):
            qualities[media_range] = float(q)
    return qualities


def _quality_of(media_type: str, qualities: dict[str, float]) -> float:
    """Return a media type's quality by the most specific range that fits."""
    kind = media_type.partition("/")[0]
    for media_range in (media_type, f"{kind}/*", "*/*"):
        if media_range in qualities:
            return qualities[media_range]
    return 0.0
