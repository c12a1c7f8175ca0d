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
    """Wraps a log exporter, and adds its cost and its losses to an account.

    Args:
        exporter: The wrapped exporter.
        account: Counts cost and losses.
        session: The exporter's session, where it reads the collector's answers.
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
        """Export with the wrapped exporter; its errors are raised."""
        with self._account.sending("logs", len(batch), self._session) as succeeded:
            result = self._exporter.export(batch)
            if result is LogRecordExportResult.SUCCESS:
                succeeded.append(True)
        return result

    def shutdown(self) -> None:
        """Shut the wrapped exporter down."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK's

    def force_flush(self, timeout_millis: int = 10_000) -> bool:  # noqa: ARG002 - interface
        """Return true: records wait in the processor, never here."""
        return True


class AccountedBatchLogProcessor(BatchLogRecordProcessor):
    """The SDK's batch processor, with dropped records counted.

    Where its queue is full, the SDK drops the oldest record and only logs it.

    Args:
        exporter: Where the log records go.
        account: Counts the dropped records.
    """

    def __init__(self, exporter: LogRecordExporter, account: ExportAccount) -> None:
        super().__init__(exporter)
        self._account = account
        self.queue = BatchQueue(self, "logs", account)
        self._waiting = self.queue.waiting

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a log record; thread-safe."""
        waiting = self._waiting
        if waiting is not None and len(waiting) == waiting.maxlen:
            self._account.lost(1, "logs", "queue")
        super().on_emit(log_record)

    def shutdown(self) -> None:
        """Export what is waiting, and stop."""
        self.queue.shut_down(super().shutdown)
