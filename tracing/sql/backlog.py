"""The backlog of an outbox, as gauges: measured periodically, read at any time."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.log import warn_once
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tracing.sql.outbox_rows import StoredRecord
    from tracing.telemetry import Telemetry

_INTERVAL_S: Final = 1.0


def backlog_of(records: Collection[StoredRecord]) -> tuple[int, int | None]:
    """Return the number of records and when the oldest was stored, unix ms; `None` without any."""
    return len(records), min((each.created_at for each in records), default=None)


class Backlog:
    """The gauges of one outbox. Another thread reads them.

    Args:
        telemetry: The telemetry that the service's clients share.
        service: The service that owns the outbox.
    """

    def __init__(self, telemetry: Telemetry, service: str) -> None:
        self._telemetry = telemetry
        self._attributes = {semconv.SERVICE: service}
        # One tuple, so that no collection sees one value without the other.
        self._measured: tuple[int, int | None] | None = None
        self._due_at = 0.0
        self._ends: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Register the gauges. Never raises."""
        metrics = self._telemetry.metrics
        try:
            self._ends = [
                metrics.gauge(catalog.OUTBOX_PENDING, self._attributes, self._pending),
                metrics.gauge(catalog.OUTBOX_OLDEST_AGE, self._attributes, self._oldest_age),
            ]
        except Exception as fault:
            warn_once("the gauges of an outbox cannot be registered", error=fault)

    def end(self) -> None:
        """Remove the gauges."""
        for end in self._ends:
            end()
        self._ends = []

    @property
    def due(self) -> bool:
        """Whether it is time to measure: at most once a second, because counting is expensive."""
        return monotonic() >= self._due_at

    def measured(self, pending: int, oldest_ms: int | None) -> None:
        """Set the number of records and when the oldest was stored, unix ms; `None` without any."""
        self._measured = (pending, oldest_ms)
        self._due_at = monotonic() + _INTERVAL_S

    def unknown(self) -> None:
        """Report nothing, because another relay measures the outbox."""
        self._measured = None

    def _pending(self) -> float | None:
        return None if self._measured is None else self._measured[0]

    def _oldest_age(self) -> float | None:
        if self._measured is None:
            return None
        # Computed at each reading, so that the age grows even while nothing can be measured.
        oldest_ms = self._measured[1]
        return 0.0 if oldest_ms is None else max(0.0, time() - oldest_ms / 1000)
