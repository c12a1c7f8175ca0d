"""The log lines of spans, kept in memory for the report."""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import trace

from demo_pipeline.report import LogLine

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOGGERS: Final = ("demo_pipeline", "tracing")
_MOST: Final = 50_000


class SpanLogs(logging.Handler):
    """Keeps the first lines, from INFO up, that are logged inside a sampled span.

    Attributes:
        lines: The lines by trace id and span id.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: defaultdict[tuple[int, int], list[LogLine]] = defaultdict(list)
        self._left = _MOST

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        span = trace.get_current_span().get_span_context()
        if not span.is_valid or not span.trace_flags.sampled or self._left <= 0:
            return
        self._left -= 1
        line = LogLine(round(record.created * 1e9), record.levelname, record.getMessage())
        self.lines[span.trace_id, span.span_id].append(line)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the lines of the demo and of the library during the block."""
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        before = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
            logger.addHandler(self)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.removeHandler(self)
                logger.setLevel(level)
