"""The cost and the losses of exporting telemetry, reported as metrics."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from tracing.core import semconv
from tracing.core.ids import in_forked_child
from tracing.core.log import EventLog
from tracing.core.text import counted
from tracing.metrics.catalog import EXPORT_TIME, TELEMETRY_DROPPED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tracing.export.answers import Signal
    from tracing.export.session import ExportSession
    from tracing.metrics.instruments import Metrics
    from tracing.metrics.metric import Labels

Way = Literal["export", "queue", "rejected", "shutdown"]
"""How items were lost: the export failed, too many were waiting, the collector accepted the request
but rejected them, or there was no time left for them at shutdown."""

_KEY: Final = "export account"
_ITEM: Final[dict[Signal, str]] = {"traces": "span", "metrics": "metric", "logs": "log"}
_NAMES: Final[dict[Signal, str]] = {
    "traces": "spans",
    "metrics": "metric points",
    "logs": "log records",
}
_WAYS: Final[dict[Way, str]] = {
    "export": "could not be exported",
    "queue": "were dropped, because too many were waiting to be exported",
    "rejected": "were rejected by the collector",
    "shutdown": "were not exported in time at shutdown",
}
# Metrics never wait in a queue.
_LOSSES: Final[tuple[tuple[Signal, Way], ...]] = tuple(
    (signal, way) for signal in _ITEM for way in _WAYS if (signal, way) != ("metrics", "queue")
)
_logger = EventLog("tracing")


class ExportAccount:
    """Cost and losses of one service. Thread-safe; a forked child begins with an empty account."""

    def __init__(self) -> None:
        self._begin()
        in_forked_child(self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._cpu_ns: dict[Signal, int] = dict.fromkeys(_ITEM, 0)
        self._lost = dict.fromkeys(_LOSSES, 0)
        self._logged: set[tuple[Signal, Way]] = set()
        self._under_way: dict[Signal, int] = {}
        self.cause = ""
        """Why the last items were lost, for log lines."""
        self.ending = False
        """Whether losses are logged in one line at the end, instead of at once."""

    @contextmanager
    def charged(self, signal: Signal) -> Iterator[None]:
        """Add the CPU time that the calling thread uses in the block to the account."""
        start = time.thread_time_ns()
        try:
            yield
        finally:
            taken = time.thread_time_ns() - start
            with self._lock:
                self._cpu_ns[signal] += taken

    @contextmanager
    def sending(
        self, signal: Signal, items: int, session: ExportSession | None = None
    ) -> Iterator[list[bool]]:
        """Account for one export, and for its loss unless the block reports success.

        Args:
            signal: What is exported.
            items: How many.
            session: The session that sends them, where it reads the collector's answers.

        Yields:
            A list to which `True` is added on success.
        """
        succeeded: list[bool] = []
        with self._lock:
            self._under_way[signal] = items
        try:
            with self.charged(signal):
                yield succeeded
        finally:
            with self._lock:
                # Shutdown has given up and counted these.
                counted = self._under_way.pop(signal, None) is None
            if not counted:
                self._count(signal, items, session, taken=bool(succeeded))

    def _count(
        self, signal: Signal, items: int, session: ExportSession | None, *, taken: bool
    ) -> None:
        if not taken:
            self.lost(items, signal, "export", "" if session is None else session.last_fault())
        elif session is not None:
            answer = session.last_answer()
            # A collector cannot reject more than it received.
            self.lost(min(answer.rejected, items), signal, "rejected", answer.cause)

    def lost(self, items: int, signal: Signal, way: Way, cause: str = "") -> None:
        """Count lost items, and log the first loss of each kind."""
        if not items:
            return
        with self._lock:
            self._lost[signal, way] += items
            self.cause = cause or self.cause
            first = (signal, way) not in self._logged and not self.ending
            if first:
                self._logged.add((signal, way))
        if first:
            was = _WAYS[way] if items > 1 else _WAYS[way].replace("were", "was", 1)
            _logger.warning(
                "%s %s%s; further ones are only counted, in %s",
                counted(items, _NAMES[signal].removesuffix("s")),
                was,
                f" ({cause})" if cause else "",
                TELEMETRY_DROPPED.name,
            )

    def give_up(self, signal: Signal, waiting: int) -> None:
        """Count waiting items, and those of an export under way, as lost: there is no time left."""
        with self._lock:
            items = waiting + self._under_way.pop(signal, 0)
        self.lost(items, signal, "shutdown")

    def losses(self) -> dict[str, int]:
        """Return how many items were lost so far, by the name of their kind."""
        with self._lock:
            return {
                name: sum(items for (kind, _), items in self._lost.items() if kind == signal)
                for signal, name in _NAMES.items()
            }

    def report_with(self, metrics: Metrics) -> None:
        """Report the account with these metrics; a repeated call changes nothing."""
        # The accounts of one service add up.
        key = f"{_KEY} {id(self)}"
        metrics.observe(EXPORT_TIME, self._times, key=key)
        metrics.observe(TELEMETRY_DROPPED, self._losses, key=key)

    def _times(self) -> Iterable[tuple[Labels, float]]:
        with self._lock:
            taken = dict(self._cpu_ns)
        return [({semconv.SIGNAL: signal}, value / 1e9) for signal, value in taken.items()]

    def _losses(self) -> Iterable[tuple[Labels, float]]:
        with self._lock:
            lost = dict(self._lost)
        return [
            ({semconv.REASON: f"{_ITEM[signal]}_{way}"}, items)
            for (signal, way), items in lost.items()
        ]
