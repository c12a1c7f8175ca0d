"""Completeness: whether all that was sent to a group has been handled, is pending, or is missing.

What is certain is a counter of its own: offsets that were skipped, lost or rewound. The balance
compares counters of several processes, so it is a hint, and no alert reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import GROUP, PARTITION, REASON, TOPIC
from dashboards.model.promql import aggregate
from dashboards.model.signal import EACH_POINT, NO_MONITOR, Signal, Threshold
from tracing.metrics.catalog import (
    CONSUMED_MESSAGES,
    CONSUMER_COMMITTED,
    CONSUMER_LAG,
    CONSUMER_REWOUND,
    CONSUMER_SKIPPED,
    CONSUMER_STATUS,
    DEAD_LETTERS,
)

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

_HOP: Final = (GROUP, TOPIC)
_LEGEND: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"


def _committed(scope: Scope) -> str:
    """Return by how much the committed offsets of each group have grown."""
    grown = scope.stored_increase(CONSUMER_COMMITTED, by=(*_HOP, PARTITION))
    return aggregate("sum", _HOP, grown)


def _pending(scope: Scope) -> str:
    # As the offsets, with which it is added up: recorded series have a date of their own.
    lag = scope.newest(CONSUMER_LAG, of=(GROUP,), by=(*_HOP, PARTITION))
    return aggregate("sum", _HOP, lag)


def _due(scope: Scope) -> str:
    return f"({_committed(scope)} + {_pending(scope)})"


def _received(scope: Scope) -> str:
    return scope.increase(CONSUMED_MESSAGES, by=_HOP)


def _skipped(scope: Scope) -> str:
    return scope.increase(CONSUMER_SKIPPED, by=_HOP)


def _unaccounted(scope: Scope) -> str:
    rest = f"({_committed(scope)} - {_received(scope)})"
    # A group of other consumers may receive, and count no skips.
    return f"({rest} - {_skipped(scope)} or {rest})"


SKIPPED: Final = Signal(
    title="Offsets skipped",
    description="Offsets that a consumer jumped over, so that its group never handles them: "
    "deleted before it read them, left out at a reset to the end of the log, or sought past by the "
    f"application. Transaction markers do not count by themselves. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(CONSUMER_SKIPPED, by=(*_HOP, REASON)),
    legend=f"{_LEGEND}: {{{{{REASON}}}}}",
    thresholds=(Threshold(1, "critical"),),
)
REWOUND: Final = Signal(
    title="Offsets read again",
    description="Offsets by which what a group has committed went back: an operator has reset it, "
    f"or a member has committed late. The group reads the records again. {EACH_POINT}",
    unit="locale",
    # As for lost records: each monitor reports the same.
    expr=lambda scope: aggregate(
        "sum",
        _HOP,
        scope.shared_increase(CONSUMER_REWOUND, by=(*_HOP, PARTITION)),
    ),
    legend=_LEGEND,
    reporter=CONSUMER_STATUS,
    empty=NO_MONITOR,
)
DUE: Final = Signal(
    title="Due",
    description="What each group had to handle in the time range, and what became of it. Due is "
    "what was pending at the start or written since: what the group committed, and what is still "
    "pending. Received counts each delivery, of which some became dead letters. Skipped is never "
    "handled. Unaccounted is what was committed and neither received nor skipped: transaction "
    "markers, compacted records, and what instances without tracing handled. Below 0, the group "
    "received records more than once. Some seconds' worth is normal: services report at different "
    "moments.",
    unit="locale",
    expr=_due,
    legend=_LEGEND,
    reporter=CONSUMER_STATUS,
    empty=NO_MONITOR,
)
RECEIVED: Final = Signal(
    title="Received",
    description="Records that the group's consumers received, once per delivery.",
    unit="locale",
    expr=_received,
    legend=_LEGEND,
)
DEAD_LETTERED: Final = Signal(
    title="Dead-lettered",
    description="Records that the group gave up on.",
    unit="locale",
    expr=lambda scope: scope.increase(DEAD_LETTERS, by=_HOP),
    legend=_LEGEND,
)
SKIPPED_IN_ALL: Final = Signal(
    title="Skipped",
    description="Offsets that the group's consumers jumped over, whatever the reason.",
    unit="locale",
    expr=_skipped,
    legend=_LEGEND,
)
PENDING: Final = Signal(
    title="Pending",
    description="Records that the group has not committed.",
    unit="locale",
    expr=_pending,
    legend=_LEGEND,
    reporter=None,
    empty=NO_MONITOR,
)
UNACCOUNTED: Final = Signal(
    title="Unaccounted",
    description="What the group committed and neither received nor skipped.",
    unit="locale",
    expr=_unaccounted,
    legend=_LEGEND,
)
BALANCE: Final = (DUE, RECEIVED, DEAD_LETTERED, SKIPPED_IN_ALL, PENDING, UNACCOUNTED)
"""The columns of a table, by group and topic."""
