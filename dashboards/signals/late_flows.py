"""Flows that count against an objective: those that arrived late, and those that did not arrive.

Arrivals alone would call an outage healthy, because nothing late arrives while nothing arrives. So
these count as late as well: records that have waited longer than the objective allows, records
that a group gave up on, and sagas that became overdue.

Each *kind* of arrival is judged by itself: the messages of one type at one hop. Lag adds up along a
flow, so the kind with the largest late share is at a last hop, whatever the topology. Over all hops
together, the early ones would hide the last, and over all types of a hop, the first event of a flow
would hide its last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from dashboards.model.counting import REMEMBERED_FOR
from dashboards.model.labels import (
    COUNTED,
    GROUP,
    OBJECTIVE,
    OUTCOME,
    PARTITION,
    PIPELINE,
    RECORDED_ON_THE_WAY,
    REPLAYED,
    SAGA,
    SERVICE,
    TOPIC,
    TYPE,
)
from dashboards.model.promql import ALL, aggregate
from dashboards.signals.known_hops import FLOW_HOP, HOP, arrivals_in, known_arrivals, known_hops
from tracing.metrics.catalog import (
    CONSUMER_LAG,
    CONSUMER_LAG_TIME,
    CONSUMER_STATUS,
    DEAD_LETTERS,
    END_TO_END_DURATION,
    SAGA_ENDED,
    SAGA_OVERDUE,
    SENT_MESSAGES,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.config import Objective
    from dashboards.model.promql import Scope

KIND: Final = (*FLOW_HOP, TYPE)
"""The labels that distinguish kinds of arrivals."""
_MONITORED: Final = "1h"
_ARRIVING: Final = "5m"
_MOST_HOPS_BEFORE: Final = 4
"""Each makes the queries longer."""
_DEAD_LETTER_TOPIC: Final = ".+[.]dlq"
_LATELY: Final = "10m"
_RECENTLY: Final = "2h"


@dataclass(frozen=True, slots=True)
class Counted:
    """Two queries with the same labels, for counts in the window of a scope.

    Attributes:
        in_time: Flows that arrived in time.
        total: All flows, in time or not.
    """

    in_time: str
    total: str

    @property
    def late_share(self) -> str:
        """Query for the share of flows that are not in time; nothing where there are none."""
        return f"(1 - {self.in_time} / {self.total} > -Inf)"  # no NaN


def counted(scope: Scope, objective: Objective) -> tuple[Counted, ...]:
    """Return the flows of an objective, counted by kind, by hop and by saga."""
    return (_by_kind(scope, objective), _by_hop(scope, objective), _by_saga(scope, objective))


def matchers(objective: Objective) -> list[str]:
    """Return the matchers of the hops at which an objective's flows arrive."""
    return [
        f'{label}=~"{chosen}"'
        for label, chosen in (
            (PIPELINE, objective.pipeline),
            (TOPIC, objective.destination),
            (GROUP, objective.group),
        )
        if chosen != ALL
    ]


def _by_kind(scope: Scope, objective: Objective) -> Counted:
    """Count arrivals."""
    where = matchers(objective)
    return Counted(
        scope.increase_up_to(objective.within_s, END_TO_END_DURATION, *where, by=KIND),
        scope.increase(END_TO_END_DURATION, *where, by=KIND, part="count"),
    )


def _by_hop(scope: Scope, objective: Objective) -> Counted:
    """Count arrivals, and records that wait at the same hop or became dead letters there.

    What waits at a hop will arrive there, so one hop's records are compared with its own arrivals.
    Each pipeline has the part of them that it has of the arrivals: an idle one at a busy hop has
    next to none. At hops before those of the objective, arrivals are never late.
    """
    pipeline = _pipeline(objective)
    hops = hops_on_the_way(scope, objective)
    arrived = arrivals_in(scope, *pipeline)
    total = _added_up(
        FLOW_HOP,
        arrived=arrived,
        stuck=f"({_stuck(scope, objective, arrived, pipeline)} and {hops})",
    )
    in_time = scope.increase_up_to(
        objective.within_s, END_TO_END_DURATION, *matchers(objective), by=FLOW_HOP
    )
    return Counted(
        _labelled(f"({in_time} or {arrived} or 0 * {hops})", "hop"), _labelled(total, "hop")
    )


def stuck_share(scope: Scope, objective: Objective) -> str:
    """Return a query for the share of records at each hop that wait or became dead letters."""
    pipeline = _pipeline(objective)
    hops = hops_on_the_way(scope, objective)
    arrived = arrivals_in(scope, *pipeline)
    stuck = f"({_stuck(scope, objective, arrived, pipeline)} > 0 and {hops})"
    return f"({stuck} / ({stuck} + {arrived}) or {stuck} / {stuck})"


def _stuck(scope: Scope, objective: Objective, arrived: str, pipeline: list[str]) -> str:
    """Return a query for the records of each pipeline that wait or became dead letters.

    Lag has no pipeline. Where nothing arrived in the window, the arrivals before decide. What had
    been replayed, and is given up again, has been counted already.
    """
    waiting = _waiting(scope, objective)
    some = f"({arrivals_in(scope, by=HOP, among=HOP)} > 0)"
    before = f"({aggregate('sum', HOP, known_arrivals(scope, among=HOP))} > 0)"
    each = f"* on ({', '.join(HOP)}) group_left ()"
    shared = (
        f"({arrived} {each} ({waiting} / {some}) or {known_arrivals(scope, *pipeline)} {each} "
        f"({waiting} / ({before} unless on ({', '.join(HOP)}) {some})))"
    )
    given_up = scope.increase(DEAD_LETTERS, f'{REPLAYED}=""', *pipeline, by=FLOW_HOP)
    return _added_up(FLOW_HOP, waiting=shared, given_up=given_up)


def _added_up(by: Sequence[str], **queries: str) -> str:
    """Return a query for the sum of all that have a result."""
    together = " or ".join(
        f'label_replace({query}, "{COUNTED}", "{name}", "", "")' for name, query in queries.items()
    )
    return aggregate("sum", by, together)


def _by_saga(scope: Scope, objective: Objective) -> Counted:
    """Count sagas that ended, and those that became overdue, which only a store knows.

    They count for every objective of their pipeline, as nothing says which hops they have to pass.
    Those that have ended since were late as well, so the highest number in the window counts. What
    was overdue before a gap in the metrics is not new after it.
    """
    where = _pipeline(objective)
    by = (PIPELINE, SAGA)
    overdue = scope.newest(SAGA_OVERDUE, *where, of=by, by=by)
    series = scope.select(SAGA_OVERDUE, *where)
    # A process that ended hours ago says nothing where others reported since.
    before = " or ".join(
        aggregate("max", by, f"last_over_time({series}[{back}] offset {scope.window})")
        for back in (_LATELY, REMEMBERED_FOR)
    )

    def since(number: str) -> str:
        return f"(clamp_min({number} - ({before}), 0) or {number})"

    highest = aggregate("max", by, f"max_over_time({series}[{scope.window}])")
    became = since(highest)
    ended = aggregate("sum", by, scope.stored_increase(SAGA_ENDED, *where, by=(*by, OUTCOME)))
    # Those that became overdue and have ended are among both.
    flows = f"({since(overdue)} + {ended} or {ended} and {became} or {became})"
    total = f"({flows} > {became} or {became})"
    return Counted(_labelled(f"({total} - {became})", "saga"), _labelled(total, "saga"))


def hops_on_the_way(scope: Scope, objective: Objective) -> str:
    """Return a query for the hops whose stuck records never arrive in time.

    These are the objective's own hops and those before them.
    """
    if not names_hops(objective):
        return known_hops(scope, *matchers(objective))
    if scope.ruleset:
        named = f'{OBJECTIVE}="{objective.name}"'
        return aggregate("group", FLOW_HOP, scope.select_recorded(RECORDED_ON_THE_WAY, where=named))
    return f"({on_the_way(scope, objective, REMEMBERED_FOR)})"


def names_hops(objective: Objective) -> bool:
    """Return whether an objective names the hops at which its flows arrive."""
    return matchers(objective) != _pipeline(objective)


def on_the_way(scope: Scope, objective: Objective, within: str) -> str:
    """Return a query for the hops of an objective that names its own, and those before them.

    A hop is before another one if its service sends to the topic of that. Side branches count
    against no objective but their own.

    Args:
        scope: The scope of the query.
        objective: The objective.
        within: How long they are remembered: a duration, or a range with a resolution, at which it
            looks at what is added up.
    """
    own = known_hops(scope, *matchers(objective))
    readers = _readers(scope, *_pipeline(objective), within=within)
    return _and_before(scope, own, readers, within)


def on_the_way_of_sagas(scope: Scope, within: str) -> str:
    """Return a query for the hops whose halt keeps sagas from ending, with their service.

    These are the hops of the services that run the sagas of a pipeline, and those before them.

    Args:
        scope: The scope of the query.
        within: As for `on_the_way`.
    """
    readers = _readers(scope, within=within)
    sagas = _within(scope.select(SAGA_OVERDUE), (SERVICE, PIPELINE), within)
    own = aggregate("group", FLOW_HOP, f"{readers} and on ({SERVICE}, {PIPELINE}) {sagas}")
    hops = _and_before(scope, own, readers, within)
    return aggregate(
        "group", (SERVICE, PIPELINE, GROUP), f"{readers} and on ({', '.join(FLOW_HOP)}) {hops}"
    )


def _and_before(scope: Scope, own: str, readers: str, within: str) -> str:
    """Return a query for hops and those before them, of those that services read."""
    sent = scope.select(SENT_MESSAGES, f'{TOPIC}!~"{_DEAD_LETTER_TOPIC}"')
    senders = _within(sent, (SERVICE, TOPIC), within)
    hops = own
    for _ in range(_MOST_HOPS_BEFORE):
        to_them = f"{senders} and on ({TOPIC}) {aggregate('group', (TOPIC,), hops)}"
        before = f"{readers} and on ({SERVICE}) {aggregate('group', (SERVICE,), to_them)}"
        hops = f"({own} or {aggregate('group', FLOW_HOP, before)})"
    return hops


def _readers(scope: Scope, *where: str, within: str) -> str:
    arrivals = scope.select(END_TO_END_DURATION, *where, part="count")
    return _within(arrivals, (SERVICE, *FLOW_HOP), within)


def _within(series: str, by: Sequence[str], within: str) -> str:
    if ":" in within:
        # Which looks at full hours only, at which what is new has not been there.
        lately = aggregate("group", by, f"last_over_time({series}[{_RECENTLY}])")
        return f"({lately} or last_over_time({aggregate('group', by, series)}[{within}]))"
    return aggregate("group", by, f"last_over_time({series}[{within}])")


def _pipeline(objective: Objective) -> list[str]:
    return matchers(objective)[: objective.pipeline != ALL]


def _waiting(scope: Scope, objective: Objective) -> str:
    """Return a query for the records that have waited longer than the objective allows.

    Of a partition whose oldest record is 60 s old, and with 5 s allowed, that is eleven twelfths.
    If no lag monitor reports, what it reported last still waits where nothing arrives: one failure
    may have ended both.
    """
    place = (*HOP, PARTITION)
    now = _late_part(
        objective,
        records=scope.newest(CONSUMER_LAG, of=HOP, by=place),
        oldest=scope.newest(CONSUMER_LAG_TIME, of=HOP, by=place),
    )
    last = _late_part(
        objective,
        *(
            aggregate("max", place, f"last_over_time({scope.select(metric)}[{_MONITORED}])")
            for metric in (CONSUMER_LAG, CONSUMER_LAG_TIME)
        ),
    )
    reported = scope.highest(CONSUMER_STATUS)
    arriving = arrivals_in(replace(scope, window=_ARRIVING), by=HOP, among=HOP)
    return f"({now} or {last} unless on () {reported} unless {arriving} > 0)"


def _late_part(objective: Objective, records: str, oldest: str) -> str:
    late = f"{records} * clamp_min(1 - {objective.within_s:g} / {oldest}, 0)"
    return aggregate("sum", HOP, late)


def _labelled(query: str, counted_as: str) -> str:
    """Keep series apart that have no message type from those that count by type."""
    return f'label_replace({query}, "{COUNTED}", "{counted_as}", "", "")'
