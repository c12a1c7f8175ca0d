"""What the running task handles."""

from __future__ import annotations

from opentelemetry.context import get_value

from tracing.core.otel_context import PROCESSING_KEY
from tracing.messaging.process import Processing
from tracing.messaging.process_batch import BatchProcessing


def current_processing() -> Processing | None:
    """The handling of one record that the running task is in; `None` outside of any."""
    found = get_value(PROCESSING_KEY)
    return found if isinstance(found, Processing) else None


def current_batch() -> BatchProcessing | None:
    """The handling of several records at once that the running task is in; `None` outside."""
    found = get_value(PROCESSING_KEY)
    return found if isinstance(found, BatchProcessing) else None
