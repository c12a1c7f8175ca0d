"""What the processing of all records of one topic and partition shares, made once."""

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


class Source:
    """What the processing of all records of one topic and partition shares."""

    __slots__ = ("arrivals", "attributes", "name", "relation", "series", "topic", "transport")

    def __init__(
        self,
        telemetry: Telemetry,
        info: ClientInfo,
        topic: str,
        lane: Attributes,
        beside: Source | None = None,
    ) -> None:
        operation: dict[str, str | int] = {
            semconv.SYSTEM: info.transport.system,
            semconv.OPERATION_NAME: semconv.PROCESS,
            semconv.DESTINATION: topic,
        }
        if info.group is not None:
            operation[semconv.GROUP] = info.group
        self.topic = topic
        self.transport = info.transport
        self.name = semconv.span_name(semconv.PROCESS, topic)
        self.relation = telemetry.relation(topic)
        self.attributes: dict[str, AttributeValue] = {
            **operation,
            **info.attributes(),
            semconv.OPERATION_TYPE: semconv.OPERATION_TYPES[semconv.PROCESS],
            **lane,
        }
        if beside is None:
            self.series = OperationSeries(
                telemetry.metrics, operation, durations=catalog.PROCESS_DURATION
            )
            self.arrivals = Arrivals(telemetry, topic, info.group)
        else:
            # Metrics know no partitions: their bounds hold for all of a topic together.
            self.series, self.arrivals = beside.series, beside.arrivals
