"""Ordinary log lines about failing records: each attempt, within bounds, and each dead letter.

Lines carry their facts as `extra` fields too, for structured logging: `topic`, `partition`,
`offset`, `group`, `event_id`, `error_type`, `error_origin`, `trace_id`, and what is named below.
The message of an error may hold personal data: it is in a line, as `error_message`, only where
`Telemetry(redact=...)` has seen it.
"""

from __future__ import annotations

from collections import Counter
from logging import WARNING
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace

from tracing.core import semconv
from tracing.core.log import EventLog, origin_of
from tracing.core.text import printable
from tracing.headers import cloudevents
from tracing.headers.codec import latest, text
from tracing.metrics.series import MAX_ERROR_TYPES, OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracing.messaging.transport import Transport
    from tracing.telemetry import Telemetry

ATTEMPTS_LOGGER: Final = "tracing.attempts"
DEAD_LETTERS_LOGGER: Final = "tracing.dead_letters"

MAX_LINES: Final = 10
"""Lines about failed attempts of one topic, group and error type in one period."""
PERIOD_S: Final = 60.0

_MAX_KEYS: Final = 1000
_MAX_NAME: Final = 64
_attempts = EventLog(ATTEMPTS_LOGGER)
_dead_letters = EventLog(DEAD_LETTERS_LOGGER)


class AttemptLog:
    """Logs the failed attempts of one consume loop at WARNING. For one thread; never raises.

    Of each topic and error type, ten lines a minute are written; rare types share theirs, and so do
    topics beyond a thousand. How many were left out is in the next line, as `left_out`, or in one
    at the end of the loop.

    Args:
        telemetry: What the service's clients share.
        transport: The kind of broker that the records come from.
        group: The consumer group.
    """

    def __init__(self, telemetry: Telemetry, transport: Transport, group: str | None) -> None:
        self._telemetry = telemetry
        self._transport = transport
        self._group = group
        self._windows: dict[tuple[str, str], _Window] = {}
        self._types: Counter[str] = Counter()
        self._swept = monotonic()

    def failed(
        self,
        record: Any,
        error: Exception,
        *,
        attempt: int,
        attempts: int,
        then: str,
    ) -> None:
        """Log a failed attempt.

        Args:
            record: The record.
            error: What the handler failed with.
            attempt: The number of the attempt; the first one is 1.
            attempts: How many there are at most.
            then: What happens next.
        """
        try:
            if not _attempts.isEnabledFor(WARNING):
                return
            window = self._window(record.topic, semconv.error_type(error))
            left_out = window.admit()
            if left_out is None:
                return
            fields = _fields(self._telemetry, self._transport, record, error, self._group)
            fields |= {"attempt": attempt, "attempts": attempts, "left_out": left_out}
            _attempts.warning(
                "attempt %s of %s at %s failed with %s%s; %s [%s]%s",
                attempt,
                attempts,
                self._transport.place(record),
                *_cause(fields),
                then,
                _context(fields),
                f" ({left_out} more like it were not logged)" if left_out else "",
                extra=fields,
            )
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def refused(self, record: Any, error: Exception) -> None:
        """Log at ERROR that a record could not be made a dead letter."""
        try:
            fields = _fields(self._telemetry, self._transport, record, error, self._group)
            _dead_letters.error(
                "%s could not be made a dead letter: %s%s; it is not committed, and "
                "the loop ends [%s]",
                self._transport.place(record),
                *_cause(fields),
                _context(fields),
                extra=fields,
            )
        except Exception as fault:
            self._telemetry.diagnostics.failed("dead_letter", fault)

    def close(self) -> None:
        """Log how many lines were left out at last."""
        self._forget(self._windows)

    def _forget(self, keys: Iterable[tuple[str, str]]) -> None:
        for key in tuple(keys):
            window = self._windows.pop(key)
            topic, error_type = key
            self._types[topic] -= 1
            if not self._types[topic]:
                del self._types[topic]
            if window.left_out:
                _attempts.warning(
                    "%d more attempts at records of %s failed with %s [group %s]",
                    window.left_out,
                    topic,
                    error_type,
                    self._group or "-",
                    extra={
                        "topic": topic,
                        "group": self._group,
                        "error_type": error_type,
                        "left_out": window.left_out,
                    },
                )

    def _window(self, topic: str, error_type: str) -> _Window:
        key = (topic, error_type)
        if key not in self._windows and self._types[topic] >= MAX_ERROR_TYPES:
            key = (topic, OTHER)
        if key not in self._windows and len(self._windows) >= _MAX_KEYS:
            self._sweep()
            if len(self._windows) >= _MAX_KEYS:
                key = (OTHER, OTHER)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window()
            self._types[key[0]] += 1
        return window

    def _sweep(self) -> None:
        # Not for each failure: there may be many, and this looks at all windows.
        now = monotonic()
        if now - self._swept >= PERIOD_S:
            self._swept = now
            self._forget([key for key, window in self._windows.items() if window.over])


def log_dead_letter(
    telemetry: Telemetry,
    transport: Transport,
    record: Any,
    error: BaseException,
    *,
    group: str,
    attempts: int,
    dead_letter_topic: str,
) -> None:
    """Log a dead letter at ERROR, with its `dead_letter_topic` and `attempts`. Never raises."""
    try:
        fields = _fields(telemetry, transport, record, error, group)
        fields |= {"attempts": attempts, "dead_letter_topic": dead_letter_topic}
        _dead_letters.error(
            "%s is now a dead letter in %s: attempt %s failed with %s%s [%s]",
            transport.place(record),
            dead_letter_topic,
            attempts,
            *_cause(fields),
            _context(fields),
            extra=fields,
        )
    except Exception as fault:
        telemetry.diagnostics.failed("dead_letter", fault)


class _Window:
    """Lets so many lines through in a period, and counts the others."""

    __slots__ = ("_begun", "_lines", "left_out")

    def __init__(self) -> None:
        self._begun = monotonic()
        self._lines = 0
        self.left_out = 0

    @property
    def over(self) -> bool:
        """Whether its period is over."""
        return monotonic() - self._begun >= PERIOD_S

    def admit(self) -> int | None:
        """Let a line through, with the number of those left out before it; `None` for no line."""
        now = monotonic()
        if now - self._begun >= PERIOD_S:
            self._begun, self._lines = now, 0
        if self._lines >= MAX_LINES:
            self.left_out += 1
            return None
        self._lines += 1
        left_out, self.left_out = self.left_out, 0
        return left_out


def _fields(
    telemetry: Telemetry,
    transport: Transport,
    record: Any,
    error: BaseException,
    group: str | None,
) -> dict[str, Any]:
    context = trace.get_current_span().get_span_context()
    fields: dict[str, Any] = {
        "topic": record.topic,
        **transport.position(record),
        "group": group,
        "event_id": text(latest(record.headers).get(cloudevents.ID), cloudevents.MAX_VALUE) or "",
        "error_type": semconv.error_type(error),
        "error_origin": origin_of(error),
        "trace_id": trace.format_trace_id(context.trace_id) if context.is_valid else "",
    }
    message = telemetry.redacted(error)
    if message:
        fields["error_message"] = message
    return fields


def _cause(fields: dict[str, Any]) -> tuple[str, str]:
    message, origin = fields.get("error_message"), fields["error_origin"]
    said = f": {message}" if message else ""
    return fields["error_type"], f" at {origin}{said}" if origin else said


def _context(fields: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {printable(fields[field], _MAX_NAME)}"
        for name, field in (("group", "group"), ("event", "event_id"), ("trace", "trace_id"))
        if fields[field]
    )
