"""Where log lines go: to the console, and by OTLP where an endpoint is set."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry.instrumentation.logging.handler import LoggingHandler

import tracing
from tracing import otlp

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE: Final = "%(levelname)s %(name)s: %(message)s"
_IDS: Final = " [trace %(trace_id)s span %(span_id)s event %(event_id)s]"


class _ConsoleFormatter(logging.Formatter):
    """Adds the ids to lines that were written while an event or a request was handled."""

    def __init__(self) -> None:
        super().__init__(_LINE)
        self._with_ids = logging.Formatter(_LINE + _IDS)

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "trace_id", ""):
            return self._with_ids.format(record)
        return super().format(record)


@contextmanager
def console_logs(level: str) -> Iterator[None]:
    """Write what is at least as severe as `level` to standard error, with the ids of its event."""
    handler = logging.StreamHandler()
    handler.setLevel(level.upper())
    handler.setFormatter(_ConsoleFormatter())
    handler.addFilter(tracing.EventLogFilter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(handler.level)
    # An endpoint that is not there is reported once it was given up, not at every retry.
    exporters = logging.getLogger("opentelemetry.exporter")
    exporters.setLevel(max(handler.level, logging.ERROR))
    try:
        yield
    finally:
        exporters.setLevel(logging.NOTSET)
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()


@contextmanager
def exported_logs(service: str, providers: otlp.Providers) -> Iterator[None]:
    """Export a service's own log lines by OTLP, from INFO on, where an endpoint is set."""
    if not otlp.configured("logs"):
        yield
        return
    logger = logging.getLogger(f"demo_pipeline.{service}")
    handler = LoggingHandler(logging.INFO, providers.logger_provider)
    handler.addFilter(tracing.EventLogFilter())
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
