"""One attempt after a failed one: a span of its own, inside the record's process span."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.context import attach, detach
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from tracing.core import semconv
from tracing.core.otel_context import SUPPRESSED
from tracing.messaging.outcome import OK, REJECTED, RETRIED, Rejected

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from tracing.core.semconv import AttributeValue
    from tracing.messaging.subscription import SubscribedLane
    from tracing.telemetry import Telemetry


class RetriedAttempt:
    """An attempt under way; its span is current until it ends. Made by `Processing.retry`.

    Neither making nor ending one raises.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        lane: SubscribedLane,
        context: Context,
        attributes: dict[str, AttributeValue],
    ) -> None:
        self._telemetry = telemetry
        self._span: Span | None = None
        self._token: Token[Context] | None = None
        try:
            if context.get(SUPPRESSED):
                return
            span = self._start(lane, context, attributes)
            self._span = span
            self._token = attach(set_span_in_context(span, context))
        except Exception as fault:
            telemetry.diagnostics.failed("process", fault)

    def end(self, error: BaseException | None) -> None:
        """End the attempt as the handler ended."""
        token, self._token = self._token, None
        span, self._span = self._span, None
        try:
            if token is not None:
                detach(token)
            if span is None:
                return
            outcome = OK
            if isinstance(error, Rejected):
                outcome = REJECTED
            elif isinstance(error, Exception):
                outcome = RETRIED
                span.set_attribute(semconv.ERROR_TYPE, semconv.error_type(error))
                span.set_status(Status(StatusCode.ERROR))
            if error is None or isinstance(error, Exception):
                span.set_attribute(semconv.OUTCOME, outcome)
            span.end()
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def _start(
        self, lane: SubscribedLane, context: Context, attributes: dict[str, AttributeValue]
    ) -> Span:
        spans = self._telemetry.spans
        described: dict[str, AttributeValue] = {
            **lane.attributes,
            semconv.OPERATION_NAME: semconv.RETRY,
            semconv.OPERATION_TYPE: semconv.OPERATION_TYPES[semconv.RETRY],
            **attributes,
        }
        name = semconv.span_name(semconv.RETRY, lane.topic)
        return spans.start(name, context, SpanKind.CONSUMER, described)
