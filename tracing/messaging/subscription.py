"""The topics that a consumer reads and their lanes: values that their records share, made once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.messaging.flow_lag import Arrivals
from tracing.messaging.message_type import named
from tracing.messaging.resource_waits import ResourceWaits
from tracing.metrics import catalog
from tracing.metrics.series import OperationSeries

if TYPE_CHECKING:
    from tracing.core.semconv import Attributes, AttributeValue
    from tracing.messaging.catch_up import LaneCatchUp
    from tracing.messaging.order import LaneOrder
    from tracing.messaging.transport import ClientInfo
    from tracing.metrics.instruments import Durations
    from tracing.metrics.message_types import ByType
    from tracing.telemetry import Telemetry

_HOP: Final = (semconv.DESTINATION, semconv.GROUP)


class Subscription:
    """A topic read by a group: what the processing of all its records shares.

    Args:
        telemetry: What the service's clients share.
        info: The consumer.
        topic: The topic.

    Attributes:
        telemetry: What the service's clients share.
        labelled: What records of one type share, by the label of the type.
    """

    __slots__ = ("labelled", "telemetry")

    def __init__(self, telemetry: Telemetry, info: ClientInfo, topic: str) -> None:
        self.telemetry = telemetry
        self.labelled: BoundedDict[str | None, TypedSubscription] = BoundedDict(
            partial(TypedSubscription, telemetry, info, topic)
        )


class TypedSubscription:
    """A topic read by a group: what the processing of its records of one type shares.

    Metrics have no label for partitions, so the bounds of their series hold for a whole topic.

    Args:
        telemetry: What the service's clients share.
        info: The consumer.
        topic: The topic.
        label: The label of the records' type; `None` if they have none.

    Attributes:
        mixed: Whether the records are of several types, which share a label.
        sizes: The sizes of the records' values; `None` where they are not recorded.
        waits: How long handlers wait for shared resources.
    """

    __slots__ = (
        "__weakref__", "arrivals", "attributes", "info", "mixed", "name", "relation", "series",
        "sizes", "topic", "waits",
    )  # fmt: skip

    def __init__(
        self, telemetry: Telemetry, info: ClientInfo, topic: str, label: str | None
    ) -> None:
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
        self.mixed = label == semconv.OTHER
        if label is not None and not self.mixed:
            self.attributes[semconv.EVENT_TYPE] = label
        kind = telemetry.kind(topic)
        if kind is not None:
            self.attributes[semconv.MESSAGE_KIND] = kind
        info.broker.keep_described(self)
        labels = telemetry.type_labels(label)
        self.series = OperationSeries(
            telemetry.metrics, {**operation, **labels}, durations=catalog.PROCESS_DURATION
        )
        self.arrivals = Arrivals(telemetry, topic, info.group, labels)
        hop: dict[str, str | int] = {key: operation[key] for key in _HOP if key in operation}
        self.waits = ResourceWaits(telemetry, hop)
        self.sizes: Durations | None = None
        if telemetry.body_sizes:
            self.sizes = telemetry.metrics.durations(
                catalog.BODY_SIZE, {semconv.DESTINATION: topic, **labels}
            )


class TypedLane:
    """One lane of a subscription, such as a partition: what its records of one type share.

    Args:
        subscription: The topic as the group reads it.
        lane: The span attributes of the lane.
        order: Checks the order of the lane's records; `None` if nothing does.

    Attributes:
        catch_up: Decides which records are history to the group; `None` once none is.
        mixed: Whether its records are of several types, which share a label and this.
        types: The same for the lane's records of all types.
    """

    __slots__ = (
        "__weakref__", "arrivals", "attributes", "catch_up", "mixed", "name", "order", "relation",
        "series", "sizes", "topic", "transport", "types", "waits",
    )  # fmt: skip

    types: ByType[TypedLane]

    def __init__(
        self, subscription: TypedSubscription, lane: Attributes, order: LaneOrder | None
    ) -> None:
        self.catch_up: LaneCatchUp | None = None
        self.order = order
        self.topic = subscription.topic
        self.transport = subscription.info.transport
        self.mixed = subscription.mixed
        self.name = subscription.name
        self.relation = subscription.relation
        self.series = subscription.series
        self.arrivals = subscription.arrivals
        self.sizes = subscription.sizes
        self.waits = subscription.waits
        self.attributes: dict[str, AttributeValue] = {**subscription.attributes, **lane}
        subscription.info.broker.keep_described(self)


class SubscribedLane(TypedLane):
    """One lane of a subscription: what its records share. It is that of records without a type.

    Args:
        subscription: The topic as the group reads it.
        lane: The span attributes of the lane.
        order: Checks the order of its records; by default nothing does.

    Attributes:
        flat: Whether its records may take the flat path; `None` before that was asked.
        plans: What the flat path makes for its records, by their type.
        plan: That of its last record.
    """

    __slots__ = ("_typed", "flat", "plan", "plans")

    def __init__(
        self, subscription: Subscription, lane: Attributes, order: LaneOrder | None = None
    ) -> None:
        super().__init__(subscription.labelled[None], lane, order)
        self.flat: bool | None = None
        self.plans: dict[Any, Any] = {}
        self.plan: Any = None
        self._typed: list[TypedLane] = [self]
        broker = subscription.labelled[None].info.broker

        def typed(label: str | None) -> TypedLane:
            made = TypedLane(subscription.labelled[label], lane, order)
            made.types = types
            made.catch_up = self.catch_up
            self._typed.append(made)
            return made

        def of_one(shared: TypedLane, name: str) -> TypedLane:
            made = named(shared, name, broker)
            self._typed.append(made)
            return made

        types = self.types = subscription.telemetry.by_type(typed, name=of_one)
        types[None] = self

    def catching_up(self, catch_up: LaneCatchUp | None) -> None:
        """Let this decide which records are history; `None` if none is any longer."""
        for lane in self._typed:
            lane.catch_up = catch_up
