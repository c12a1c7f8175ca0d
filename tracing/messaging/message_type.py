"""The type of a message: its `ce_type`, or the name that a function of the user gives it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tracing.core import semconv
from tracing.core.callables import discard
from tracing.core.text import name_in
from tracing.headers.cloudevents import TYPE
from tracing.headers.codec import latest
from tracing.metrics.series import ErrorCounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.core.semconv import AttributeValue
    from tracing.messaging.transport import BrokerFacts, Message
    from tracing.metrics.message_types import ByType
    from tracing.metrics.metric import Labels, Metric
    from tracing.telemetry import Telemetry


class _OfTypes(Protocol):
    attributes: dict[str, AttributeValue]
    mixed: bool


_Shared = TypeVar("_Shared", bound=_OfTypes)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """A message that is about to be sent, as `Telemetry(message_type=...)` receives it.

    Attributes:
        topic: Where it goes; empty in a batch, which learns its topic later.
        key: Its key, as the application gave it.
        value: Its body, as the application gave it.
        headers: The application's headers.
        timestamp: Always -1: it has not been sent.
    """

    topic: str
    key: Any
    value: Any
    headers: Any
    timestamp: int = -1


def type_of(
    telemetry: Telemetry, message: Message, present: Mapping[str, object] | None = None
) -> bytes | None:
    """Return the type of a message, which may turn out to be no name. Never raises.

    A `ce_type` that equals the topic's name was filled in for a sender that gave none: then the
    user's function is asked, too.

    Args:
        telemetry: What the service's clients share.
        message: The message.
        present: `latest(message.headers)`, where the caller has it.
    """
    if present is None:
        present = latest(message.headers)
    written = present.get(TYPE)
    if not isinstance(written, bytes):
        if written is not None:
            telemetry.diagnostics.invalid("ce_type")
        written = None
    if telemetry.message_type is None or (
        written is not None and written != message.topic.encode(errors="replace")
    ):
        return written
    return asked(telemetry, message) or written


def asked(telemetry: Telemetry, message: Message) -> bytes | None:
    """Ask the user's function for the type of a message; `None` if it gives none. Never raises."""
    function = telemetry.message_type
    if function is None:
        return None
    try:
        answer: object = function(message)
        if answer is None:
            return None
        name = name_in(answer)
        if name is not None:
            return name.encode()
        discard(answer)
        raise TypeError("message_type returned no name of 1 to 128 printable characters")  # noqa: TRY301 - as any other fault of it
    except Exception as fault:
        telemetry.diagnostics.failed("message_type", fault)
        return None


def error_counts(telemetry: Telemetry, metric: Metric, labels: Labels) -> ByType[ErrorCounts]:
    """Return a counter by `error.type` for each type of a destination's messages."""
    return telemetry.by_type(
        lambda label: ErrorCounts(
            telemetry.metrics, metric, {**labels, **telemetry.type_labels(label)}
        ),
        count_invalid=False,
    )


def named(shared: _Shared, name: str, broker: BrokerFacts) -> _Shared:
    """Return what the messages of one type share that metrics count with those of others.

    Args:
        shared: What they share with the messages of these types.
        name: The type.
        broker: Describes them, as all others.
    """
    made = copy(shared)
    made.mixed = False
    made.attributes = {**shared.attributes, semconv.EVENT_TYPE: name}
    broker.keep_described(made)
    return made


def described(message_type: bytes | None) -> dict[str, AttributeValue]:
    """Describe a type on a span or link; nothing if there is none."""
    name = name_in(message_type)
    return {} if name is None else {semconv.EVENT_TYPE: name}
