"""Standard library logging that says which trace, span and event a line belongs to."""

import logging

from opentelemetry import trace

from tracing.core.text import MAX_PRINTABLE, printable
from tracing.headers import cloudevents
from tracing.headers.codec import latest, text
from tracing.messaging.current import current_processing


class EventLogFilter(logging.Filter):
    """Adds `trace_id`, `span_id` and `event_id` to every log record; empty where there is none.

    The ids are as OpenTelemetry writes them, 32 and 16 hexadecimal digits; the event id is the
    `ce_id` of the record that the running task handles. The sender chooses that: what would break
    or forge a line is escaped, and what is longer than 256 characters is cut. It lets every record
    pass, never raises, and can be used from any thread. Add it to a handler, so that it sees all
    loggers' records::

        handler.addFilter(tracing.EventLogFilter())
        handler.setFormatter(logging.Formatter("%(message)s trace=%(trace_id)s"))
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids and let the record pass."""
        context = trace.get_current_span().get_span_context()
        processing = current_processing()
        record.trace_id = trace.format_trace_id(context.trace_id) if context.is_valid else ""
        record.span_id = trace.format_span_id(context.span_id) if context.is_valid else ""
        try:
            headers = {} if processing is None else latest(processing.record.headers)
            event_id = text(headers.get(cloudevents.ID), cloudevents.MAX_VALUE) or ""
            record.event_id = printable(event_id, MAX_PRINTABLE)
        except Exception:
            record.event_id = ""
        return True
