"""Durations as Grafana and Prometheus write them, such as `5m`."""

from __future__ import annotations

from typing import Final

# What Grafana rounds longer distances to, as far as one may export so seldom: Prometheus returns a
# sample for five minutes, in which two exports must fit, and the alerts need two in a row.
_STEPS: Final = ("1s", "2s", "5s", "10s", "15s", "20s", "30s", "1m", "2m")


def seconds_of(window: str) -> int:
    """Return the length of a window such as `5m`, in seconds."""
    return int(window[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[window[-1]]


LONGEST_STEP_S: Final = seconds_of(_STEPS[-1])
"""The longest export interval that is rounded up, in seconds."""


def step_of(export_interval: str) -> str:
    """Return the shortest distance of points that has an export in it and that Grafana can write.

    Grafana writes `$__interval` in one unit and cuts the rest off: 90 s become windows of a minute
    at a distance of 90 s, and a third of all events is in no window. Distances of 3 minutes become
    2 as soon as a graph has too many points.

    Raises:
        ValueError: The interval is longer than `LONGEST_STEP_S`.
    """
    export_s = seconds_of(export_interval)
    if export_s > LONGEST_STEP_S:
        raise ValueError(f"an export every {export_interval} is too seldom: {_STEPS[-1]} at most")
    return next(step for step in _STEPS if seconds_of(step) >= export_s)
