"""The topics that a consumer reads and their lanes: values that their records share, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracing.core import semconv
from tracing.messaging.flow_lag import Arrivals
from tracing.metrics import catalog
from tracing.metrics.series import OperationSeries

if TYPE_CHECKING:
    from tracing.core.semconv import Attributes, AttributeValue
    from tracing.messaging.transport import ClientInfo
    from tracing.telemetry import Telemetry


class Subscription:
    """A topic read by a group: what the processing of all its records shares.

    Metrics have no label for partitions, so the bounds of their series hold for a whole topic.

    Args:
        telemetry: What the service's clients share.
        info: The consumer.
        topic: The topic.
    """

    __slots__ = ("arrivals", "attributes", "info", "name", "relation", "series", "topic")

    def __init__(self, telemetry: Telemetry, info: ClientInfo, topic: str) -> None:
        operation: dict[str, str | int] = {
            semconv.SYSTEM: info.transport.system,
            semconv.OPERATION_NAME: semconv.PROCESS,
            semconv.DESTINATION: topic,
        }
        if info.group is not None:
            operation[semconv.GROUP] = info.group
        self.info = info
        self.topic = topic
        self.name = semconv.span_name(semconv.PROCESS, topic)
        self.relation = telemetry.relation(topic)
        self.attributes: dict[str, AttributeValue] = {
            **operation,
            **info.attributes(),
            semconv.OPERATION_TYPE: semconv.OPERATION_TYPES[semconv.PROCESS],
        }
        self.series = OperationSeries(
            telemetry.metrics, operation, durations=catalog.PROCESS_DURATION
        )
        self.arrivals = Arrivals(telemetry, topic, info.group)


class SubscribedLane:
    """One lane of a subscription, such as a partition: what its records share.

    Args:
        subscription: The topic as the group reads it.
        lane: The span attributes of the lane.
    """

    __slots__ = ("arrivals", "attributes", "name", "relation", "series", "topic", "transport")

    def __init__(self, subscription: Subscription, lane: Attributes) -> None:
        self.topic = subscription.topic
        self.transport = subscription.info.transport
        self.name = subscription.name
        self.relation = subscription.relation
        self.series = subscription.series
        self.arrivals = subscription.arrivals
        self.attributes: dict[str, AttributeValue] = {**subscription.attributes, **lane}
