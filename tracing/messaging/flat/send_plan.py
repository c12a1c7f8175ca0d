"""What flat sends to one topic share, made once for each type of their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from tracing.core.ids import random_id
from tracing.core.text import name_in
from tracing.headers import cloudevents
from tracing.spans.flat import SpanPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.headers.codec import Header
    from tracing.messaging.destination import Destination, TypedDestination
    from tracing.telemetry import Telemetry


class SendPlan:
    """What the sends of messages of one type to one topic share.

    Args:
        telemetry: What the service's clients share.
        topic: What the sends to the topic share.
        typed: The same of their type.

    Attributes:
        diagnostics: Counts what fails.
        messages: Counts the sent messages.
        record: Receives the duration of a send that succeeded, in seconds, and its span.
        span_plan: What their spans share.
        telemetry: What the service's clients share.
        topic: What the sends to the topic share.
        typed: The same of their type.
    """

    __slots__ = ("diagnostics", "messages", "record", "span_plan", "telemetry", "topic", "typed")

    def __init__(self, telemetry: Telemetry, topic: TopicPlan, typed: TypedDestination) -> None:
        self.diagnostics = telemetry.diagnostics
        self.messages = typed.messages
        self.record = typed.series.succeeded.record
        self.telemetry = telemetry
        self.topic = topic
        self.typed = typed
        self.span_plan = SpanPlan(typed.name, SpanKind.PRODUCER, typed.attributes)

    def renewed(self) -> SpanPlan:
        """Make anew what the spans share, once the client has learned more of its broker."""
        typed = self.typed
        self.span_plan = SpanPlan(typed.name, SpanKind.PRODUCER, typed.attributes)
        return self.span_plan


class TopicPlan:
    """What the sends of one producer to one topic share.

    Args:
        telemetry: What the service's clients share.
        destination: The topic.

    Attributes:
        constant: The headers that complete an event without any of its own.
        destination: The topic.
        plain: The plan of messages without a type of their own; `None` before the first.
    """

    __slots__ = ("_by_type", "_missing", "_telemetry", "constant", "destination", "plain")

    def __init__(self, telemetry: Telemetry, destination: Destination) -> None:
        self._telemetry = telemetry
        self.destination = destination
        self.constant = destination.completion.constant
        self._by_type: dict[object, SendPlan] = {}
        self._missing: dict[tuple[bool, bool, bool], list[Header]] = {}
        self.plain: SendPlan | None = None

    def assumed(self) -> SendPlan | None:
        """Return `plain`, and make it for the first of these messages."""
        self.plain = self.of(self.destination.assumed)
        return self.plain

    def of(self, message_type: object) -> SendPlan | None:
        """Return the plan of a type; `None` where it is no name, or has no label of its own."""
        if message_type is not None and type(message_type) is not bytes:
            return None
        plan = self._by_type.get(message_type)
        return self._made(message_type) if plan is None else plan

    def completed(
        self, present: Mapping[str, bytes | None], time: Header
    ) -> tuple[bytes | None, list[Header]]:
        """Return the id of an event, and the headers that complete it.

        Args:
            present: The headers that the application gives it.
            time: The header that says that it happens now.
        """
        message_id = present.get(cloudevents.ID)
        if not self._telemetry.cloudevents:
            return message_id, []
        missing: list[Header] = []
        if cloudevents.ID not in present:
            message_id = random_id()
            missing.append((cloudevents.ID, message_id))
        if cloudevents.TIME not in present:
            missing.append(time)
        key = (
            cloudevents.SPECVERSION in present,
            cloudevents.SOURCE in present,
            cloudevents.TYPE in present,
        )
        constant = self._missing.get(key)
        if constant is None:
            constant = [header for header in self.constant if header[0] not in present]
            self._missing[key] = constant
        missing += constant
        return message_id, missing

    def _made(self, message_type: bytes | None) -> SendPlan | None:
        # Types without end must not fill the process; those of which a metric has no series share
        # one, and their spans each have their own.
        if message_type is not None and name_in(message_type) is None:
            return None
        typed = self.destination.types[message_type]
        if typed.mixed:
            return None
        plan = self._by_type[message_type] = SendPlan(self._telemetry, self, typed)
        return plan
