"""Moments, ages and durations as text for people."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time
from typing import Final

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""The units of ages, in seconds."""

UNKNOWN: Final = "?"

# The end of the year 9999. Headers can hold any number.
_LATEST_MS: Final = 253_402_300_799_000


def iso_time(moment_ms: int) -> str:
    """Return unix ms as an ISO 8601 time in UTC, to the second."""
    if not 0 < moment_ms <= _LATEST_MS:
        return "unknown"
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(moment_ms: int) -> str:
    """Return the time since `moment_ms` (unix ms) as text in the largest fitting unit."""
    if not 0 < moment_ms <= _LATEST_MS:
        return "unknown"
    seconds = max(0.0, time() - moment_ms / 1000)
    for unit in ("w", "d", "h", "m"):
        if seconds >= 2 * UNITS[unit]:
            return f"{seconds / UNITS[unit]:.0f}{unit}"
    return f"{seconds:.0f}s"


def duration(seconds: float | None, *, exact: bool) -> str:
    """Return seconds as text in the largest fitting unit, with `~` for an estimate."""
    if seconds is None:
        return UNKNOWN
    about = "" if exact else "~"
    for unit in ("d", "h", "m"):
        if seconds >= 2 * UNITS[unit]:
            return f"{about}{seconds / UNITS[unit]:.1f} {unit}"
    return f"{about}{seconds:.1f} s"
