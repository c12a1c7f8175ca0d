"""Points in time as people write them: an age, or a date."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from time import time
from typing import Final

_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|w)")
# The end of the year 9999; headers can hold any number.
_LATEST_MS: Final = 253_402_300_799_000
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_moment(text: str) -> int:
    """Read an age such as `15m` or `2d`, or an ISO 8601 date or time, as unix ms.

    A time without a zone is UTC.

    Raises:
        ValueError: It is neither.
    """
    age = _AGE.fullmatch(text.strip())
    if age is not None:
        # No record is older than Kafka's time, which begins in 1970.
        return int(max(0.0, time() - float(age[1]) * _SECONDS[age[2]]) * 1000)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is neither an age, such as 90s, 15m, 2h or 3d, nor a time, such as "
            "2026-11-23T03:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def written(moment_ms: int) -> str:
    """Write unix ms as an ISO 8601 time in UTC, to the second."""
    if not 0 < moment_ms <= _LATEST_MS:
        return "unknown"
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(moment_ms: int) -> str:
    """Write how long ago unix ms were, in the largest fitting unit."""
    if not 0 < moment_ms <= _LATEST_MS:
        return "unknown"
    seconds = max(0.0, time() - moment_ms / 1000)
    for unit in ("w", "d", "h", "m"):
        if seconds >= 2 * _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.0f}s"
