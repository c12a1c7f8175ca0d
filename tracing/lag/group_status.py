"""The status of each group as series, also while it is not known.

A series that ends keeps its last value in Prometheus for five minutes. So a status that is known no
longer is reported as *unknown*, and all others as 0.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from tracing.core import semconv
from tracing.lag.model import UNKNOWN, Status

if TYPE_CHECKING:
    from tracing.lag.model import Sweep
    from tracing.metrics.metric import Labels

    Series = tuple[Labels, float]


class _Known(NamedTuple):
    """A status, and the moment until which it counts, by `time.monotonic()`."""

    status: Status
    until: float


class GroupStatuses:
    """Makes the series of one monitor. For one task.

    The last known status counts until it is too old, as one missing answer is no news. Of a group
    whose status was never known there are no series: a monitor that has just started would hide
    what the one before it knew.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def of(self, sweep: Sweep, *, valid_s: float) -> list[Series]:
        """Return the series of a sweep, whose answers count for `valid_s` seconds."""
        until = monotonic() + valid_s
        existing = {*sweep.silent}
        for group in sweep.groups:
            existing.add(group.group)
            if group.status is not None:
                self._known[group.group] = _Known(group.status, until)
        for gone in self._known.keys() - existing:
            del self._known[gone]
        return self.unanswered()

    def unanswered(self) -> list[Series]:
        """Return the series of the groups that are known, without a new answer."""
        now = monotonic()
        return [
            ({semconv.GROUP: group, semconv.STATUS_LABEL: status}, float(status == reported))
            for group, known in self._known.items()
            for reported in (known.status.value if now < known.until else UNKNOWN,)
            for status in (*(status.value for status in Status), UNKNOWN)
        ]
