"""How much is waiting in an outbox, and for how long: measured now and then, told at any time."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.log import warn_once
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.telemetry import Telemetry

_INTERVAL_S: Final = 1.0


class Backlog:
    """The gauges of one outbox. They are read in another thread than they are set in.

    Args:
        telemetry: What the service's clients share.
        service: Whose outbox it is.
    """

    def __init__(self, telemetry: Telemetry, service: str) -> None:
        self._telemetry = telemetry
        self._attributes = {semconv.SERVICE: service}
        # Together, so that no collection sees one without the other.
        self._measured: tuple[int, int | None] | None = None
        self._due_at = 0.0
        self._ends: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Let the gauges be read. Never raises."""
        metrics = self._telemetry.metrics
        try:
            self._ends = [
                metrics.gauge(catalog.OUTBOX_PENDING, self._attributes, self._pending),
                metrics.gauge(catalog.OUTBOX_OLDEST_AGE, self._attributes, self._oldest_age),
            ]
        except Exception as fault:
            warn_once("the gauges of an outbox cannot be registered", error=fault)

    def end(self) -> None:
        """Let them no longer be read."""
        for end in self._ends:
            end()
        self._ends = []

    @property
    def due(self) -> bool:
        """Whether it is time to measure: at most once a second, because counting costs."""
        return monotonic() >= self._due_at

    def measured(self, pending: int, oldest_ms: int | None) -> None:
        """Take what the outbox holds now: how many records, the first of them stored then."""
        self._measured = (pending, oldest_ms)
        self._due_at = monotonic() + _INTERVAL_S

    def unknown(self) -> None:
        """Take it that another relay is the one who knows."""
        self._measured = None

    def _pending(self) -> float | None:
        return None if self._measured is None else self._measured[0]

    def _oldest_age(self) -> float | None:
        if self._measured is None:
            return None
        # Made at the reading, so that it grows even while nothing can be measured.
        oldest_ms = self._measured[1]
        return 0.0 if oldest_ms is None else max(0.0, time() - oldest_ms / 1000)
