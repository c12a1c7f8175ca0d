"""Log records on their way to the collector, with what is lost counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)

from tracing.export.batches import BatchQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord

    from tracing.export.account import ExportAccount
    from tracing.export.session import ExportSession


class AccountedLogExporter(LogRecordExporter):
    """Another log exporter, with its cost and its losses put to an account.

    Args:
        exporter: Where the log records go.
        account: Where they are counted.
        session: What the exporter sends with, where that reads the collector's answers.
    """

    def __init__(
        self,
        exporter: LogRecordExporter,
        account: ExportAccount,
        session: ExportSession | None = None,
    ) -> None:
        self._exporter = exporter
        self._account = account
        self._session = session

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Export; what it raises is raised."""
        with self._account.sending("logs", len(batch), self._session) as succeeded:
            result = self._exporter.export(batch)
            if result is LogRecordExportResult.SUCCESS:
                succeeded.append(True)
        return result

    def shutdown(self) -> None:
        """Shut the other one down."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK's

    def force_flush(self, timeout_millis: int = 10_000) -> bool:  # noqa: ARG002 - interface
        """Have nothing to flush: what waits, waits in the processor."""
        return True


class AccountedBatchLogProcessor(BatchLogRecordProcessor):
    """The SDK's, which drops the oldest record where its queue is full, and only logs that.

    Args:
        exporter: Where the log records go.
        account: Where those are counted that had to go.
    """

    def __init__(self, exporter: LogRecordExporter, account: ExportAccount) -> None:
        super().__init__(exporter)
        self._account = account
        self.queue = BatchQueue(self, "logs", account)
        self._waiting = self.queue.waiting

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Take a log record; thread-safe."""
        waiting = self._waiting
        if waiting is not None and len(waiting) == waiting.maxlen:
            self._account.lost(1, "logs", "queue")
        super().on_emit(log_record)

    def shutdown(self) -> None:
        """Export what waits, and stop."""
        self.queue.shut_down(super().shutdown)
