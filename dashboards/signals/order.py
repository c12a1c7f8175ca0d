"""Order: events out of order, and groups that share a topic of commands."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import GROUP, TOPIC
from dashboards.model.signal import EACH_POINT, NO_MONITOR, Signal, Threshold
from tracing.metrics.catalog import COMMAND_READERS as READERS
from tracing.metrics.catalog import CONSUMER_CAUSE
from tracing.metrics.catalog import OUT_OF_ORDER as FAULTS

OUT_OF_ORDER: Final = Signal(
    title="Records out of order",
    description="Records whose key was last handled in another partition, or that are older than "
    f"the last one of their key. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(FAULTS, by=(GROUP, TOPIC)),
    legend=f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}",
    thresholds=(Threshold(1, "warning"),),
)
COMMAND_READERS: Final = Signal(
    title="Groups that read commands",
    description="Groups that read each topic of commands. Each of them carries out every command, "
    "so there should be one. The lag monitor knows the topics by --command-topic.",
    unit="locale",
    expr=lambda scope: scope.newest(READERS, of=(TOPIC,), by=(TOPIC,)),
    legend=f"{{{{{TOPIC}}}}}",
    thresholds=(Threshold(2, "critical"),),
    reporter=CONSUMER_CAUSE,
    empty=NO_MONITOR,
)
