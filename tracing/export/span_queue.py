"""The queue in which ended spans wait to be exported, with what overflows it counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tracing.export.batches import BatchQueue

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from tracing.export.account import ExportAccount


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
