"""Where log lines go: to the console, and by OTLP if an endpoint is set."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import tracing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tracing import otlp

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_OWN: Final = ("demo_pipeline", "tracing")
_LINE: Final = "%(levelname)s %(name)s: %(message)s"
_IDS: Final = " [trace %(trace_id)s span %(span_id)s event %(event_id)s]"


class _ConsoleFormatter(logging.Formatter):
    """Adds the ids to lines that were logged while an event or a request was handled.

    Ids and reasons come from events, so control characters are escaped.
    """

    def __init__(self) -> None:
        super().__init__(_LINE)
        self._with_ids = logging.PercentStyle(_LINE + _IDS)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        style = self._with_ids if getattr(record, "trace_id", "") else self._style
        return _escaped(style.format(record))

    def format(self, record: logging.LogRecord) -> str:
        # A traceback has several lines; its error text may come from an event too.
        return "\n".join(map(_escaped, super().format(record).split("\n")))


def _escaped(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


@dataclass(frozen=True, slots=True)
class LogLevels:
    """The levels of loggers.

    Attributes:
        general: The level of the demo's and the library's loggers. Other libraries get it as well,
            but never below INFO: at DEBUG, some log whole records, SQL parameters and headers.
        named: Levels by logger name; they apply to child loggers too.
    """

    general: int = logging.WARNING
    named: Mapping[str, int] = field(default_factory=dict)


def parse_log_levels(texts: Iterable[str]) -> LogLevels:
    """Parse levels such as `info`, or `aiokafka=debug` for a single logger.

    Raises:
        ValueError: A text is neither.
    """
    general, named = logging.WARNING, {}
    for text in texts:
        name, equals, level = text.rpartition("=")
        number = _LEVELS.get(level.strip().lower())
        if number is None or (equals and not name.strip()):
            raise ValueError(
                f"{text!r} is neither one of {', '.join(_LEVELS)} nor LOGGER=LEVEL, as in "
                "aiokafka=debug"
            )
        if equals:
            named[name.strip()] = number
        else:
            general = number
    return LogLevels(general, named)


@contextmanager
def console_logs(levels: LogLevels) -> Iterator[None]:
    """Write log lines to standard error, with the ids of their event."""
    handler = logging.StreamHandler()
    handler.setFormatter(_ConsoleFormatter())
    handler.addFilter(tracing.EventLogFilter())
    wanted = {
        "": max(levels.general, logging.INFO),
        **dict.fromkeys(_OWN, levels.general),
        # An unreachable endpoint is logged once, when the exporter gives up, not at every retry.
        "opentelemetry.exporter": max(levels.general, logging.ERROR),
        **levels.named,
    }
    # Others may need more lines of these loggers, for the report or for an exporter.
    handler.addFilter(lambda record: record.levelno >= _level_of(record.name, wanted))
    before = {name: logging.getLogger(name).level for name in wanted}
    root = logging.getLogger()
    root.addHandler(handler)
    for name, level in wanted.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        root.removeHandler(handler)
        handler.close()


def _level_of(name: str, levels: Mapping[str, int]) -> int:
    """Return the level of a logger, or of the closest one above it."""
    while name not in levels:
        name = name.rpartition(".")[0]
    return levels[name]


@contextmanager
def exported_logs(service: str, providers: otlp.Providers) -> Iterator[None]:
    """Export a service's log lines by OTLP, from INFO up, if an endpoint is set."""
    from opentelemetry.instrumentation.logging.handler import LoggingHandler

    from tracing import otlp

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
