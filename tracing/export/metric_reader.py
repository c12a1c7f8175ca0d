"""The periodic reader, which a forked child can go on with and a dead collector cannot hold up."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter

    from tracing.export.account import ExportAccount

# Of the time that all readers of a provider have, one after the other: an own reader of the
# application comes to its turn as well.
_SHARE: Final = 0.8


class AccountedMetricReader(PeriodicExportingMetricReader):
    """The SDK's, with what it could not export at its end counted.

    Args:
        exporter: Where the metrics go.
        account: Where losses are counted.
    """

    def __init__(self, exporter: MetricExporter, account: ExportAccount) -> None:
        super().__init__(exporter)
        self._account = account

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Collect and export a last time, within most of the time, and stop."""
        super().shutdown(timeout_millis * _SHARE, **kwargs)
        self._account.give_up("metrics", 0)

    def _at_fork_reinit(self) -> None:
        if self._shutdown:
            # The SDK's new thread would export once more, and fail.
            return
        # The parent may have been exporting when it forked; the SDK leaves the lock as it was.
        self._export_lock = threading.Lock()
        super()._at_fork_reinit()  # type: ignore[no-untyped-call]  # the SDK's
