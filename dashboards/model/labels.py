"""Labels by which metrics are told apart, and the dashboard variables that choose among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
