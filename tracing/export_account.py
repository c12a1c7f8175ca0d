"""What exporting telemetry costs, and what it loses: told as metrics like everything else."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tracing import semconv
from tracing.catalog import EXPORT_TIME, TELEMETRY_DROPPED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from tracing.metrics import Attributes, Metrics

Signal = Literal["traces", "metrics"]

_LOST: Final = "span_export"


class ExportAccount:
    """Of one service. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cpu_ns: dict[Signal, int] = {"traces": 0, "metrics": 0}
        self._lost_spans = 0

    @contextmanager
    def charged(self, signal: Signal) -> Iterator[None]:
        """Put the CPU time that the calling thread takes in the block to the account."""
        start = time.thread_time_ns()
        try:
            yield
        finally:
            taken = time.thread_time_ns() - start
            with self._lock:
                self._cpu_ns[signal] += taken

    def lost(self, spans: int) -> None:
        """Count spans that nobody took."""
        with self._lock:
            self._lost_spans += spans

    def told_by(self, metrics: Metrics) -> None:
        """Let the account be read with these metrics; again for the same ones changes nothing."""
        metrics.observe(EXPORT_TIME, self._times, key=_LOST)
        metrics.observe(TELEMETRY_DROPPED, self._losses, key=_LOST)

    def _times(self) -> Iterable[tuple[Attributes, float]]:
        with self._lock:
            taken = dict(self._cpu_ns)
        return [({semconv.SIGNAL: signal}, value / 1e9) for signal, value in taken.items()]

    def _losses(self) -> Iterable[tuple[Attributes, float]]:
        return [({semconv.REASON: _LOST}, self._lost_spans)]


class AccountedSpanExporter(SpanExporter):
    """Another span exporter, with its cost and its losses put to an account.

    Args:
        exporter: Where the spans go.
        account: Where they are counted.
    """

    def __init__(self, exporter: SpanExporter, account: ExportAccount) -> None:
        self._exporter = exporter
        self._account = account

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export; what it raises is raised."""
        result = SpanExportResult.FAILURE
        try:
            with self._account.charged("traces"):
                result = self._exporter.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                self._account.lost(len(spans))
        return result

    def shutdown(self) -> None:
        """Shut the other one down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other one."""
        return self._exporter.force_flush(timeout_millis)
