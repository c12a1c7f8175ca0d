"""The metrics that the lag monitor reports about consumers and dead letters, from outside them.

They are part of the catalogue, which is where other modules take them from.
"""

from typing import Final

from tracing.core import semconv
from tracing.metrics.metric import Metric

_HOP: Final = (semconv.DESTINATION, semconv.GROUP)

CONSUMER_LAG: Final = Metric(
    name="pipeline.consumer.lag",
    kind="gauge",
    unit="{message}",
    description="Records of a partition that a group has not committed, as seen from outside it.",
    labels=(*_HOP, semconv.PARTITION),
)
CONSUMER_LAG_TIME: Final = Metric(
    name="pipeline.consumer.lag.time",
    kind="gauge",
    unit="s",
    description="Age of the oldest record that a group has not committed; 0 if there is none, or "
    "while the group works off history. It grows while the consumer is dead, because it is "
    "measured from outside.",
    labels=(*_HOP, semconv.PARTITION),
)
CONSUMER_STATUS: Final = Metric(
    name="pipeline.consumer.status",
    kind="gauge",
    unit="{group}",
    description="1 for the status that a group is in (ok, catching_up, lagging, stalled or dead; "
    "abandoned if it has left all its topics or another group has replaced it; unknown while the "
    "cluster does not answer, or the monitor has not watched long enough to judge), 0 for others.",
    labels=(semconv.GROUP, semconv.STATUS_LABEL),
)
CONSUMER_ABANDONED: Final = Metric(
    name="pipeline.consumer.abandoned",
    kind="gauge",
    unit="{message}",
    description="Uncommitted records of a topic that a group with members no longer subscribes to, "
    "or of a group that another one has replaced. They are not part of the group's lag or status.",
    labels=_HOP,
)
CONSUMER_CAUSE: Final = Metric(
    name="pipeline.consumer.cause",
    kind="gauge",
    unit="{group}",
    description="1 for the cause of a group's status, 0 for others: no_members, rebalancing, "
    "stalled_commits, one_partition, inflow_above_capacity or replaced.",
    labels=(semconv.GROUP, semconv.CAUSE_LABEL),
)
CONSUMER_CATCH_UP_TIME: Final = Metric(
    name="pipeline.consumer.catch_up.time",
    kind="gauge",
    unit="s",
    description="Time until a group has no lag, by regression over the window of the lag monitor; "
    "0 if it keeps up, a year if it never catches up.",
    labels=(*_HOP, semconv.PARTITION),
)
CONSUMER_RETENTION_USED: Final = Metric(
    name="pipeline.consumer.retention.used",
    kind="gauge",
    unit="1",
    description="Share of its topic's retention, by time or bytes, that the oldest record that a "
    "group has not committed has used. Below 1 the record is safe; from 1 on, the broker may "
    "delete it, together with the rest of its segment. Absent while the group works off history.",
    labels=(*_HOP, semconv.PARTITION),
)
CONSUMER_RETENTION_LEFT: Final = Metric(
    name="pipeline.consumer.retention.left",
    kind="gauge",
    unit="s",
    description="Time until the broker may delete the oldest record that a group has not "
    "committed, if the group commits nothing more. Absent if no record waits.",
    labels=(*_HOP, semconv.PARTITION),
)
CONSUMER_LOST: Final = Metric(
    name="pipeline.consumer.lost",
    kind="counter",
    unit="{record}",
    description="Records that were deleted before a group committed them: offsets by which the "
    "start of a log passed the committed offset.",
    labels=(*_HOP, semconv.PARTITION),
)
CONSUMER_COMMITTED: Final = Metric(
    name="pipeline.consumer.committed",
    kind="gauge",
    unit="{offset}",
    description="The offset that a group has committed in a partition. Its growth and that of the "
    "lag are what was written. Absent where the monitor has no series by partition.",
    labels=(*_HOP, semconv.PARTITION),
)
CONSUMER_REWOUND: Final = Metric(
    name="pipeline.consumer.rewound",
    kind="counter",
    unit="{offset}",
    description="Offsets by which a group's committed offset went back, so that the group reads "
    "them again: an operator has reset it, or a member has committed late.",
    labels=(*_HOP, semconv.PARTITION),
)
COMMAND_READERS: Final = Metric(
    name="pipeline.command.readers",
    kind="gauge",
    unit="{group}",
    description="Groups that read a topic of commands now, as seen from outside: each of them "
    "carries out every command, so there should be one.",
    labels=(semconv.DESTINATION,),
)
DEAD_LETTERS_DEPTH: Final = Metric(
    name="pipeline.dead_letters.depth",
    kind="gauge",
    unit="{message}",
    description="Dead letters that are kept, as seen from outside the services.",
    labels=_HOP,
)
DEAD_LETTERS_OLDEST_AGE: Final = Metric(
    name="pipeline.dead_letters.oldest_age",
    kind="gauge",
    unit="s",
    description="Age of the oldest dead letter that is kept; 0 if there is none.",
    labels=_HOP,
)
