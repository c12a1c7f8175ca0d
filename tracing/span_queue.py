"""The queue in which ended spans wait to be exported, with what overflows it counted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import BatchSpanProcessor

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from tracing.export_account import ExportAccount


class AccountedBatchSpanProcessor(BatchSpanProcessor):
    """The SDK's, which drops the oldest span where its queue is full, and tells its log alone.

    The SDK can tell of that, too, with metrics of its own: but those are counted for every span
    that starts, and for the light ones there is nobody who does.

    Args:
        exporter: Where the spans go.
        account: Where those are counted that had to go.
    """

    def __init__(self, exporter: SpanExporter, account: ExportAccount) -> None:
        super().__init__(exporter)
        self._account = account
        queue = getattr(getattr(self, "_batch_processor", None), "_queue", None)
        # It is the SDK's own; one that has none by that name goes uncounted.
        self._waiting: deque[ReadableSpan] | None = queue if isinstance(queue, deque) else None

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended; thread-safe."""
        waiting = self._waiting
        if (
            waiting is not None
            and len(waiting) == waiting.maxlen
            and span.context is not None
            and span.context.trace_flags.sampled
        ):
            self._account.lost(1, "span_queue")
        super().on_end(span)
