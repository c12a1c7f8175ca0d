"""Spans on their way to the collector, with what is lost counted."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tracing.export.batches import BatchQueue
from tracing.spans.hand_over import fed_directly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from tracing.export.account import ExportAccount
    from tracing.export.session import ExportSession


class AccountedSpanExporter(SpanExporter):
    """Wraps a span exporter, and adds its cost and its losses to an account.

    Args:
        exporter: The wrapped exporter.
        account: Counts cost and losses.
        session: The exporter's session, where it reads the collector's answers.
    """

    def __init__(
        self, exporter: SpanExporter, account: ExportAccount, session: ExportSession | None = None
    ) -> None:
        self._exporter = exporter
        self._account = account
        self._session = session

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export with the wrapped exporter; its errors are raised."""
        with self._account.sending("traces", len(spans), self._session) as succeeded:
            result = self._exporter.export(spans)
            if result is SpanExportResult.SUCCESS:
                succeeded.append(True)
        if result is SpanExportResult.SUCCESS:
            # Those of another exporter are all or nothing.
            self._account.lost(
                getattr(self._exporter, "left_out", 0), "traces", "export", "not encodable"
            )
        return result

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Shut the wrapped exporter down, within a time if it accepts one."""
        if "timeout_millis" in inspect.signature(self._exporter.shutdown).parameters:
            self._exporter.shutdown(timeout_millis=timeout_millis)  # type: ignore[call-arg]  # seen
        else:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the wrapped exporter."""
        return self._exporter.force_flush(timeout_millis)


@fed_directly
class AccountedBatchSpanProcessor(BatchSpanProcessor):
    """The SDK's batch processor, with dropped spans counted.

    Where its queue is full, the SDK drops the oldest span and only logs it. Its own metrics would
    count that, but they also count at every start of a span, which light spans leave out.

    Args:
        exporter: Where the spans go.
        account: Counts the dropped spans.
        delay_ms: How long spans wait for others, in milliseconds; by default as
            `OTEL_BSP_SCHEDULE_DELAY` says.
    """

    def __init__(
        self, exporter: SpanExporter, account: ExportAccount, delay_ms: float | None = None
    ) -> None:
        super().__init__(exporter, schedule_delay_millis=delay_ms)
        self._account = account
        self.queue = BatchQueue(self, "traces", account)
        self._waiting = self.queue.waiting

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span that has ended; thread-safe."""
        waiting = self._waiting
        if (
            waiting is not None
            and len(waiting) == waiting.maxlen
            and span.context is not None
            and span.context.trace_flags.sampled
        ):
            self._account.lost(1, "traces", "queue")
        super().on_end(span)

    def shutdown(self) -> None:
        """Export what is waiting, and stop."""
        self.queue.shut_down(super().shutdown)
