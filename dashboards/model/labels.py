"""Labels of metrics, the dashboard variables for them, and the names of recorded series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracing.metrics.catalog import (
    CONSUMER_LAG,
    CONSUMER_LAG_TIME,
    END_TO_END_DURATION,
    SAGA_OVERDUE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE: Final = "job"
"""Prometheus sets it from the resource's `service.name`."""
INSTANCE: Final = "instance"
"""Prometheus sets it from the resource's `service.instance.id`: one process of a service."""
SERVICE_VERSION: Final = "service_version"
"""Of `target_info`, which has the attributes of each resource."""
PIPELINE: Final = "pipeline"
TOPIC: Final = "messaging_destination_name"
GROUP: Final = "messaging_consumer_group_name"
PARTITION: Final = "messaging_destination_partition_id"
KIND: Final = "message_kind"
"""Whether a topic holds events or commands; absent where no service declares it."""
TYPE: Final = "message_type"
OPERATION: Final = "messaging_operation_name"
ERROR: Final = "error_type"
PROJECTION: Final = "projection"
"""A read model."""
SAGA: Final = "saga"
STEP: Final = "step"
STATE: Final = "state"
OUTCOME: Final = "outcome"
COUNTED_BY: Final = "counted_by"
"""Whether a store has counted the sagas, for all processes, or each process its own."""
REPLAYED: Final = "replayed"
STATUS: Final = "status"
UNKNOWN: Final = "unknown"
"""The status of a group that is not known any longer."""
CAUSE: Final = "cause"
"""Why a group is behind."""
SUBJECT: Final = "subject"
VERSION: Final = "version"
"""The version of a schema within its subject."""
RESOURCE: Final = "resource"
"""What handlers share and wait for, such as a database."""
REASON: Final = "reason"
SIGNAL: Final = "signal"
OBJECTIVE: Final = "objective"
"""The name of an objective; queries add it."""
BOUND: Final = "le"
"""The upper bound of a bucket."""
COUNTED: Final = "counted"
"""What a count of flows is by: a hop or a saga; queries add it."""
STOP: Final = "stop"
"""A type of message at a hop, as one text; queries add it."""
ELSEWHERE: Final = "elsewhere"
"""Whether flows are late for another reason than a stalled group; alerts on objectives add it."""
NOTE: Final = "note"
"""What a number means at the moment; queries add it."""
COMMAND: Final = "command"
"""A command to run; queries add it."""
RULESET: Final = "ruleset"
"""The prefix of a rule's configuration; recording rules add it."""

COLUMN_OF: Final[Mapping[str, str]] = {
    SERVICE: "Service",
    TOPIC: "Topic",
    GROUP: "Group",
    PARTITION: "Partition",
    COMMAND: "Command",
}
"""The heading of a label's column in a table."""

VARIABLE_OF: Final[Mapping[str, str]] = {
    SERVICE: "service",
    INSTANCE: "instance",
    PIPELINE: "pipeline",
    TOPIC: "destination",
    GROUP: "group",
    TYPE: "message_type",
    SAGA: "saga",
}
"""The dashboard variable of each label that has one."""

# Recorded series are named `level:metric:operations`, as Prometheus advises.
RECORDED_LAG: Final = f"group_topic:{CONSUMER_LAG.prometheus}:sum"
RECORDED_LAG_TIME: Final = f"group_topic:{CONSUMER_LAG_TIME.prometheus}:max"

RECORDED_ARRIVED: Final = f"pipeline_group_topic:{END_TO_END_DURATION.prometheus}:arrived"
RECORDED_WINDOWS: Final = ("5m", "30m", "1h", "6h", "3d")
"""The windows over which flows are recorded: those of the burn rates."""
RECORDED_ON_THE_WAY: Final = f"pipeline_group_topic:{END_TO_END_DURATION.prometheus}:on_the_way"
RECORDED_HELD_UP: Final = "pipeline_group_topic:pipeline_held_up_seconds:max"
RECORDED_BEFORE_SAGAS: Final = f"pipeline_group:{SAGA_OVERDUE.prometheus}:on_the_way"
RECORDED_ELSEWHERE: Final = "pipeline_objective_group:pipeline_late_elsewhere:share5m"


def recorded_arrivals(window: str) -> str:
    """Return the name of the recorded flows that arrived in a window."""
    return f"pipeline_group_topic:{END_TO_END_DURATION.prometheus}:arrived{window}"


def recorded_late_share(window: str) -> str:
    """Return the name of the recorded shares of late flows over a window."""
    return f"pipeline_objective:{END_TO_END_DURATION.prometheus}:late_share{window}"


def recorded_flows(window: str) -> str:
    """Return the name of the recorded flows in a window, kept only if there are enough."""
    return f"pipeline_objective:{END_TO_END_DURATION.prometheus}:enough{window}"
