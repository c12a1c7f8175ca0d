"""What exporting telemetry costs, and what it loses: told as metrics like everything else."""

from __future__ import annotations

import inspect
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
Loss = Literal["span_export", "span_queue"]
"""Why spans were lost: nobody took them, or there were too many waiting."""

_KEY: Final = "export account"


class ExportAccount:
    """Of one service. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cpu_ns: dict[Signal, int] = {"traces": 0, "metrics": 0}
        self._lost_spans: dict[Loss, int] = {"span_export": 0, "span_queue": 0}

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

    def lost(self, spans: int, reason: Loss) -> None:
        """Count spans that were lost."""
        with self._lock:
            self._lost_spans[reason] += spans

    def told_by(self, metrics: Metrics) -> None:
        """Let the account be read with these metrics; again for the same ones changes nothing."""
        metrics.observe(EXPORT_TIME, self._times, key=_KEY)
        metrics.observe(TELEMETRY_DROPPED, self._losses, key=_KEY)

    def _times(self) -> Iterable[tuple[Attributes, float]]:
        with self._lock:
            taken = dict(self._cpu_ns)
        return [({semconv.SIGNAL: signal}, value / 1e9) for signal, value in taken.items()]

    def _losses(self) -> Iterable[tuple[Attributes, float]]:
        with self._lock:
            lost = dict(self._lost_spans)
        return [({semconv.REASON: reason}, spans) for reason, spans in lost.items()]


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
                self._account.lost(len(spans), "span_export")
        return result

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Shut the other one down, within a time if it can be told one."""
        if "timeout_millis" in inspect.signature(self._exporter.shutdown).parameters:
            self._exporter.shutdown(timeout_millis=timeout_millis)  # type: ignore[call-arg]  # seen
        else:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other one."""
        return self._exporter.force_flush(timeout_millis)
