"""The topics that a producer sends to: values that sends share, made once for each message type."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tracing.core import semconv
from tracing.headers import cloudevents
from tracing.messaging.flow_lag import Publications
from tracing.messaging.message_type import named
from tracing.metrics import catalog
from tracing.metrics.series import OperationSeries

if TYPE_CHECKING:
    from tracing.core.semconv import AttributeValue
    from tracing.messaging.transport import ClientInfo
    from tracing.metrics.message_types import ByType
    from tracing.telemetry import Telemetry


class Destination:
    """The values that all sends of one producer to one topic share.

    Args:
        telemetry: What the service's clients share.
        info: The producer.
        topic: Where the messages go.
        operation: The name of the operation.

    Attributes:
        types: The values that sends of messages of one type share, by type.
        assumed: The type that messages get which name none.
    """

    __slots__ = ("assumed", "completion", "publications", "topic", "types")

    def __init__(
        self,
        telemetry: Telemetry,
        info: ClientInfo,
        topic: str,
        operation: str = semconv.SEND,
    ) -> None:
        self.topic = topic
        self.completion = cloudevents.Completion(telemetry.source, topic)
        self.publications = Publications(telemetry, topic)
        self.assumed = topic.encode() if telemetry.cloudevents else None
        described: dict[str, str | int] = {
            semconv.SYSTEM: info.transport.system,
            semconv.OPERATION_NAME: operation,
            semconv.OPERATION_TYPE: semconv.OPERATION_TYPES[operation],
            semconv.DESTINATION: topic,
        }
        series = OperationSeries(telemetry.metrics, described, durations=catalog.OPERATION_DURATION)
        self.types: ByType[TypedDestination] = telemetry.by_type(
            partial(TypedDestination, telemetry, info, described, series),
            name=partial(named, broker=info.broker),
        )


class TypedDestination:
    """The values that all sends of messages of one type to one topic share.

    Args:
        telemetry: What the service's clients share.
        info: The producer.
        described: The labels of the operation.
        series: The durations of the operation.
        label: The label of the messages' type; `None` if they have none.

    Attributes:
        attributes: The attributes of their spans.
        messages: Counts the sent messages.
        mixed: Whether the messages are of several types, which share a label and this.
        name: The name of their spans.
        series: The durations of the operation.
        topic: Where they go.
        transport: The producer's kind of broker.
    """

    __slots__ = (
        "__weakref__", "attributes", "messages", "mixed", "name", "series", "topic", "transport",
    )  # fmt: skip

    def __init__(
        self,
        telemetry: Telemetry,
        info: ClientInfo,
        described: dict[str, str | int],
        series: OperationSeries,
        label: str | None,
    ) -> None:
        self.topic = str(described[semconv.DESTINATION])
        self.transport = info.transport
        self.mixed = label == semconv.OTHER
        self.name = semconv.span_name(str(described[semconv.OPERATION_NAME]), self.topic)
        self.attributes: dict[str, AttributeValue] = {**described, **info.attributes()}
        if label is not None and not self.mixed:
            self.attributes[semconv.EVENT_TYPE] = label
        kind = telemetry.kind(self.topic)
        if kind is not None:
            self.attributes[semconv.MESSAGE_KIND] = kind
        info.broker.keep_described(self)
        self.series = series
        counted = {**described, **telemetry.type_labels(label)}
        del counted[semconv.OPERATION_TYPE]
        if kind is not None:
            counted[semconv.KIND_LABEL] = kind
        self.messages = telemetry.metrics.count(catalog.SENT_MESSAGES, counted)
