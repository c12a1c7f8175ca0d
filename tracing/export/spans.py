"""Spans on their way to the collector, with what is lost counted."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tracing.export.batches import BatchQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from tracing.export.account import ExportAccount
    from tracing.export.session import ExportSession


class AccountedSpanExporter(SpanExporter):
    """Another span exporter, with its cost and its losses put to an account.

    Args:
        exporter: Where the spans go.
        account: Where they are counted.
        session: What the exporter sends with, where that reads the collector's answers.
    """

    def __init__(
        self, exporter: SpanExporter, account: ExportAccount, session: ExportSession | None = None
    ) -> None:
        self._exporter = exporter
        self._account = account
        self._session = session

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export; what it raises is raised."""
        with self._account.sending("traces", len(spans), self._session) as succeeded:
            result = self._exporter.export(spans)
            if result is SpanExportResult.SUCCESS:
                succeeded.append(True)
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


class AccountedBatchSpanProcessor(BatchSpanProcessor):
    """The SDK's, which drops the oldest span where its queue is full, and only logs that.

    The SDK can count that, too, with metrics of its own: but those are counted for every span
    that starts, and the light ones have nothing that does.

    Args:
        exporter: Where the spans go.
        account: Where those are counted that had to go.
    """

    def __init__(self, exporter: SpanExporter, account: ExportAccount) -> None:
        super().__init__(exporter)
        self._account = account
        self.queue = BatchQueue(self, "traces", account)
        self._waiting = self.queue.waiting

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended; thread-safe."""
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
        """Export what waits, and stop."""
        self.queue.shut_down(super().shutdown)
