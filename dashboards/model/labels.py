"""Labels by which metrics are told apart, and the dashboard variables that choose among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracing.metrics.catalog import CONSUMER_LAG, CONSUMER_LAG_TIME, END_TO_END_DURATION

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE: Final = "job"
"""What Prometheus makes of the resource's `service.name`."""
PIPELINE: Final = "pipeline"
TOPIC: Final = "messaging_destination_name"
GROUP: Final = "messaging_consumer_group_name"
PARTITION: Final = "messaging_destination_partition_id"
OPERATION: Final = "messaging_operation_name"
ERROR: Final = "error_type"
SAGA: Final = "saga"
STEP: Final = "step"
STATE: Final = "state"
OUTCOME: Final = "outcome"
STATUS: Final = "status"
REASON: Final = "reason"
SIGNAL: Final = "signal"
OBJECTIVE: Final = "objective"
"""Made by rules: which of the objectives it is about."""
COMMAND: Final = "command"
"""Made by queries: what to type."""
RULESET: Final = "ruleset"
"""Made by rules: the prefix of the configuration that they were made for."""

COLUMN_OF: Final[Mapping[str, str]] = {
    SERVICE: "Service",
    TOPIC: "Topic",
    GROUP: "Group",
    PARTITION: "Partition",
    COMMAND: "Command",
}
"""What a label is called at the head of a table."""

VARIABLE_OF: Final[Mapping[str, str]] = {
    SERVICE: "service",
    PIPELINE: "pipeline",
    TOPIC: "destination",
    GROUP: "group",
    SAGA: "saga",
}
"""The dashboard variable of a label, where it has one."""

# Names of recorded series, as Prometheus advises: `level:metric:operations`.
RECORDED_LAG: Final = f"group_topic:{CONSUMER_LAG.prometheus}:sum"
RECORDED_LAG_TIME: Final = f"group_topic:{CONSUMER_LAG_TIME.prometheus}:max"


def recorded_burn_rate(window: str) -> str:
    """Return the name of the burn rates of all error budgets over a window."""
    return f"pipeline_objective:{END_TO_END_DURATION.prometheus}:burn_rate{window}"


def recorded_arrivals(window: str) -> str:
    """Return the name of the arrivals in a window, kept where there are enough to judge by."""
    return f"pipeline_objective:{END_TO_END_DURATION.prometheus}:enough{window}"
