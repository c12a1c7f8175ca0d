"""What flat sends to one topic share, made once for each type of their messages."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from tracing.core.text import name_in
from tracing.headers import cloudevents, w3c
from tracing.headers.codec import without
from tracing.headers.context import continuing
from tracing.headers.dead_letter import REPLAY_HEADERS
from tracing.headers.flow import NO_FLOW
from tracing.messaging.flat.handling import FlatHandling
from tracing.messaging.flat.header_layout import taken_apart, unpacking
from tracing.messaging.flat.near import NO_FLOW_YET
from tracing.spans.flat import SpanPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.headers.codec import Header
    from tracing.headers.context import Propagation
    from tracing.messaging.destination import Destination, TypedDestination
    from tracing.messaging.flat.engine import Reason
    from tracing.messaging.flat.near import SendFlow, SendPlace
    from tracing.metrics.instruments import Durations
    from tracing.telemetry import Telemetry

MAX_HEADERS: Final = 32
"""More headers of its own than an ordinary message has."""

_MAX_SHAPES: Final = 64
"""More sets of header names than the messages of a topic have."""


class Unusual(Exception):  # noqa: N818 - no error
    """Raised before any side effect of a send that has to go through the general code."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class SendPlan:
    """What the sends of messages of one type to one topic share.

    Args:
        telemetry: What the service's clients share.
        topic: What the sends to the topic share.
        typed: The same of their type.

    Attributes:
        diagnostics: Counts what fails.
        durations: Receives the duration of a send that succeeded, in seconds, and its span.
        messages: Counts the sent messages.
        span_plan: What their spans share.
        telemetry: What the service's clients share.
        topic: What the sends to the topic share.
        typed: The same of their type.
    """

    __slots__ = ("diagnostics", "durations", "messages", "span_plan", "telemetry", "topic", "typed")

    def __init__(self, telemetry: Telemetry, topic: TopicPlan, typed: TypedDestination) -> None:
        self.diagnostics = telemetry.diagnostics
        self.durations = typed.series.succeeded
        self.messages = typed.messages
        self.telemetry = telemetry
        self.topic = topic
        self.typed = typed
        self.span_plan = SpanPlan(typed.name, SpanKind.PRODUCER, typed.attributes)

    def renewed(self) -> SpanPlan:
        """Make anew what the spans share, once the client has learned more of its broker."""
        typed = self.typed
        self.span_plan = SpanPlan(typed.name, SpanKind.PRODUCER, typed.attributes)
        return self.span_plan


class HeaderShape:
    """What the names of a message's headers say about it, whatever their values.

    Args:
        names: The names.
        constant: The headers that complete an event; `None` where messages are no events.

    Attributes:
        names: The same.
        count: How many they are.
        unpack: Takes so many headers apart, see `taken_apart`.
        pick: Returns the type, the id and the subject of the values that `unpack` gives.
        constant: Those of the headers that complete an event which the message lacks.
        has_context: Whether it has the context of a message.
        has_time: Whether it has the time of its event.
        has_type: Whether it has the type of its event.
        is_replayed: Whether it has the marks of a replay.
        needs_id: Whether its event needs an id.
        needs_time: Whether its event needs a time.
        needs_both: Whether it needs both.
    """

    __slots__ = (
        "constant", "count", "has_context", "has_time", "has_type", "is_replayed", "names",
        "needs_both", "needs_id", "needs_time", "pick", "unpack",
    )  # fmt: skip

    def __init__(self, names: tuple[str, ...], constant: list[Header] | None) -> None:
        # Where there are two of a name, the last one counts.
        places = {name: place for place, name in enumerate(names)}
        self.names = names
        self.count = absent = len(names)
        self.unpack = unpacking(absent)
        self.pick: Callable[[tuple[Any, ...]], tuple[Any, ...]] = itemgetter(
            *(
                places.get(each, absent)
                for each in (cloudevents.TYPE, cloudevents.ID, cloudevents.SUBJECT)
            )
        )
        self.constant = [header for header in constant or () if header[0] not in names]
        self.has_context = not w3c.FIELDS.isdisjoint(names)
        self.has_time = cloudevents.TIME in names
        self.has_type = cloudevents.TYPE in names
        self.is_replayed = not REPLAY_HEADERS.isdisjoint(names)
        self.needs_id = constant is not None and cloudevents.ID not in names
        self.needs_time = constant is not None and not self.has_time
        self.needs_both = self.needs_id and self.needs_time


class TopicPlan:
    """What the sends of one producer to one topic share.

    Args:
        telemetry: What the service's clients share.
        destination: The topic.

    Attributes:
        constant: The headers that complete an event without any of its own; `None` where messages
            are no events.
        begun: Receives the publish times of flows that begin with a send; `None` before the first.
        destination: The topic.
        flow: What the spans of the last sends share as an exporter of OTLP writes them.
        places: The same of each partition; the exporter's, who keeps it small.
        plain: The plan of messages without a type of their own; `None` before the first.
    """

    __slots__ = (
        "_by_type", "_shape", "_shapes", "_telemetry", "begun", "constant", "destination", "flow",
        "places", "plain",
    )  # fmt: skip

    def __init__(self, telemetry: Telemetry, destination: Destination) -> None:
        self._telemetry = telemetry
        self.destination = destination
        self.constant = destination.completion.constant if telemetry.cloudevents else None
        self._by_type: dict[object, SendPlan] = {}
        self._shapes: dict[tuple[str, ...], HeaderShape] = {}
        # Of the last message: the next one mostly has the same.
        self._shape = HeaderShape((), self.constant)
        self.plain: SendPlan | None = None
        self.begun: Durations | None = None
        self.flow: SendFlow = NO_FLOW_YET
        self.places: dict[int, SendPlace] = {}

    def published(self) -> Durations:
        """Return `begun`, and make it for the first of these messages."""
        self.begun = self.destination.publications.of(NO_FLOW)
        return self.begun

    def assumed(self) -> SendPlan | None:
        """Return `plain`, and make it for the first of these messages."""
        self.plain = self.of(self.destination.assumed)
        return self.plain

    def of(self, message_type: object) -> SendPlan | None:
        """Return the plan of a type; `None` where it is no name, or one of too many."""
        if message_type is not None and type(message_type) is not bytes:
            return None
        plan = self._by_type.get(message_type)
        return self._made(message_type) if plan is None else plan

    def read(
        self, headers: list[Header]
    ) -> tuple[HeaderShape, SendPlan | None, bytes | None, bytes | None]:
        """Return what the application's headers say, and the plan of their type, id and subject.

        Raises:
            Unusual: They are no ordinary headers.
        """
        shape = self._shape
        try:
            count = len(headers)
            unpack = shape.unpack if count == shape.count else taken_apart
            names, values = unpack(headers)
            if names != shape.names:
                shape = self._shapes.get(names) or self._shape_of(names)
                if shape.is_replayed:
                    raise Unusual("replayed")
                self._shape = shape
        except (TypeError, ValueError):
            raise Unusual("headers") from None
        message_type, event_id, subject = shape.pick(values)
        if shape.has_type:
            return shape, self.of(message_type), event_id, subject
        return shape, self.plain or self.assumed(), event_id, subject

    def _shape_of(self, names: tuple[str, ...]) -> HeaderShape:
        """Make what the names of a message's headers say about it."""
        if len(names) > MAX_HEADERS:
            raise Unusual("headers")
        shape = HeaderShape(names, self.constant)
        if len(self._shapes) < _MAX_SHAPES:
            self._shapes[names] = shape
        return shape

    def _made(self, message_type: bytes | None) -> SendPlan | None:
        # Types without end must not fill the process: the spans of most have each their own.
        if message_type is not None and name_in(message_type) is None:
            return None
        typed = self.destination.types[message_type]
        if typed.mixed:
            return None
        plan = self._by_type[message_type] = SendPlan(self._telemetry, self, typed)
        return plan


def forwarded(headers: list[Header], current: object) -> list[Header]:
    """Leave the context of a message out of headers that its own handler hands on.

    Raises:
        Unusual: The context is another one, stored or forwarded from elsewhere: the general code
            continues it, or links it.
    """
    if isinstance(current, FlatHandling):
        # What an unrecorded one has instead of a parent is the message's own context.
        above = getattr(current, "above", None) or current.traceparent
        present = dict(headers)
        if (
            w3c.TRACESTATE not in present
            and present.get(w3c.TRACEPARENT, above) == above
            and present.get(w3c.BAGGAGE, current.baggage) == current.baggage
        ):
            return without(headers, w3c.FIELDS)
    raise Unusual("context_headers")


def stored(propagation: Propagation, headers: list[Header]) -> tuple[Context, list[Header]]:
    """Return the context of a stored message, and its other headers: an outbox has such ones.

    Raises:
        Unusual: The context is no ordinary one; the general code continues it.
    """
    present = dict(headers)
    creation = w3c.parse_traceparent(present.get(w3c.TRACEPARENT))
    flow = propagation.ordinary_flow(present.get(w3c.BAGGAGE))
    if creation is None or flow is None or w3c.TRACESTATE in present:
        raise Unusual("context_headers")
    return continuing((creation, flow, Context())), without(headers, w3c.FIELDS)
