"""The hops of each pipeline, remembered for a week: what waits at a dead one is still its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.durations import seconds_of
from dashboards.model.counting import REMEMBERED_FOR
from dashboards.model.labels import (
    GROUP,
    PIPELINE,
    RECORDED_ARRIVED,
    RECORDED_WINDOWS,
    TOPIC,
    recorded_arrivals,
)
from dashboards.model.promql import aggregate
from dashboards.model.series import labels_of
from tracing.metrics.catalog import CONSUMER_LAG, END_TO_END_DURATION

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dashboards.model.promql import Scope

HOP: Final = (GROUP, TOPIC)
FLOW_HOP: Final = (PIPELINE, *HOP)
OF_ALL_PIPELINES: Final = labels_of(END_TO_END_DURATION) - {PIPELINE}
"""The labels that variables filter where the flows of all pipelines count."""
A_WEEK: Final = "7d:1h"
_NOW: Final = "5m"
_LATELY: Final = "30m"
"""Longer than a rolling restart. The last number of a hop is that of such a window."""
_SINCE: Final = "25m"
"""A hop that reported then did so in the first minutes of the window."""
_STEP: Final = "15m"
_IDLE_FOR: Final = "1d"
"""How long a pipeline is known that nothing reports at a hop that works.

Most likely, another one has replaced it. But after a restart, a pipeline has no series until its
next flow either, and that may be a matter of the next morning.
"""


def known_hops(
    scope: Scope,
    *where: str,
    by: Sequence[str] = FLOW_HOP,
    among: Collection[str] | None = None,
) -> str:
    """Return a query for the hops that flows arrived at within a week, with the value 1.

    Args:
        scope: The scope of the query; with a ruleset, it uses the recorded hops.
        where: Matchers of pipeline, topic and group.
        by: The labels to keep.
        among: The labels that variables may filter; by default all.
    """
    if scope.ruleset:
        return aggregate("group", by, known_arrivals(scope, *where, among=among))
    hours, dead, day = _unrecorded(scope, *where, among=among)
    return aggregate("group", by, f"({hours} or {dead} or {day})")


def known_arrivals(scope: Scope, *where: str, among: Collection[str] | None = None) -> str:
    """Return a query for the hops as in `known_hops`, with the flows that arrived there last.

    The numbers compare the pipelines of a hop. Without recorded ones, they are totals. A pipeline
    that another one has replaced has none: see `remembered_arrivals`.

    Args:
        scope: The scope of the query; with a ruleset, it uses the recorded hops.
        where: Matchers of pipeline, topic and group.
        among: The labels that variables may filter; by default all.
    """
    if scope.ruleset:
        series = _recorded(scope, RECORDED_ARRIVED, *where, among=among)
        return aggregate("sum", FLOW_HOP, series)
    hours, dead, _ = _unrecorded(scope, *where, among=among)
    each = aggregate("group", FLOW_HOP, _arrivals(scope, *where, among=among))
    last = f"max_over_time((time() * {each})[{REMEMBERED_FOR}:{_STEP}])"
    every = aggregate("group", FLOW_HOP, _arrivals(scope, among=OF_ALL_PIPELINES))
    of_hop = aggregate("max", HOP, f"max_over_time((time() * {every})[{REMEMBERED_FOR}:{_STEP}])")
    replaced = f"{last} < on ({_on_hop()}) group_left () ({of_hop} - {seconds_of(_LATELY)})"
    return f"({hours} unless {replaced} or {dead})"


def _unrecorded(
    scope: Scope, *where: str, among: Collection[str] | None = None
) -> tuple[str, str, str]:
    """Return queries for the flows that ever arrived: lately, at a dead hop, and within a day."""
    arrivals = _arrivals(scope, *where, among=among)
    total = _counted(scope, arrivals)
    hours = _counted(scope, f"last_over_time({arrivals}[{REMEMBERED_FOR}])")
    dead = f"last_over_time({total}[{A_WEEK}]) unless on ({_on_hop()}) {_heard_of(scope)}"
    return hours, dead, f"last_over_time({total}[{_IDLE_FOR}:1h])"


def known_pipelines_before(scope: Scope, *where: str) -> str:
    """Return a query for the pipelines that had a known hop before the window of the scope."""
    offset = f"offset {scope.window}"
    hours = f"last_over_time({_arrivals(scope, *where)}[{REMEMBERED_FOR}] {offset})"
    if scope.ruleset:
        earlier = f"{_recorded(scope, RECORDED_ARRIVED, *where)} {offset}"
    else:
        earlier = f"last_over_time({_counted(scope, _arrivals(scope, *where))}[{A_WEEK}] {offset})"
    each = (aggregate("group", (PIPELINE,), query) for query in (hours, earlier))
    return f"({' or '.join(each)})"


def remembered_arrivals(scope: Scope) -> str:
    """Return the query whose result is recorded: where flows arrive, or the number when they did.

    The number of a pipeline at a hop at which none of its flows arrive any longer is:

    - the one before, while a process reports its series: it is idle;
    - the one before, while no process reports any series of the hop: it is dead. It is known for
      as long as a process or the lag monitor reports its group;
    - 0, if processes report only other pipelines of the hop. It is known for a day, without a part
      of what waits there, and then forgotten.

    The number before is a recorded series itself: to read the histograms of a week again each time
    would take seconds.
    """
    now, lately, days = (
        arrivals_in(replace(scope, window=window), among=OF_ALL_PIPELINES)
        for window in (_NOW, _LATELY, RECORDED_WINDOWS[-1])
    )
    series = _recorded(scope, RECORDED_ARRIVED, among=OF_ALL_PIPELINES)
    before = aggregate("sum", FLOW_HOP, series)
    week = aggregate("sum", FLOW_HOP, f"last_over_time({series}[{A_WEEK}])")
    hours = _counted(scope, f"last_over_time({_arrivals(scope, among=OF_ALL_PIPELINES)}"
                     f"[{REMEMBERED_FOR}])")  # fmt: skip
    # At a hop that is recorded, those that are not have been forgotten. The rules may be new.
    at_all = f"({before} or ({week} or {hours} or {days}) unless on ({_on_hop()}) {before})"
    reported = (
        f"({aggregate('group', (GROUP,), scope.select(CONSUMER_LAG))} or {_heard_of(scope, GROUP)})"
    )
    works = f"({_reports(scope, _NOW)} and {_reports(scope, _NOW, _SINCE)})"
    day = aggregate("sum", FLOW_HOP, f"last_over_time({_reported(scope, _LATELY)}"
                    f"[{_IDLE_FOR}:{_LATELY}])")  # fmt: skip
    # What has not worked for a day may not have come to the flows of all its pipelines yet.
    absent = f"({day} or {before} unless on ({_on_hop()}) {_reports(scope, _NOW, _IDLE_FOR)})"
    return " or ".join(
        (
            f"({lately} and {now} > 0)",
            f"(({before} or {week}) and {lately})",
            f"({at_all} and on ({GROUP}) {reported} unless on ({_on_hop()}) {works})",
            f"0 * ({absent} and on ({_on_hop()}) {works})",
        )
    )


def arrivals_in(
    scope: Scope,
    *where: str,
    by: Sequence[str] = FLOW_HOP,
    among: Collection[str] | None = None,
) -> str:
    """Return a query for the flows that arrived at each hop in the window of the scope.

    Args:
        scope: The scope of the query; with a ruleset, it uses what is recorded of some windows.
        where: Matchers of the pipeline.
        by: The labels to keep, of those of a hop of a pipeline.
        among: The labels that variables may filter; by default all.
    """
    if scope.ruleset and scope.window in RECORDED_WINDOWS:
        series = _recorded(scope, recorded_arrivals(scope.window), *where, among=among)
        return aggregate("sum", by, series)
    return scope.increase(END_TO_END_DURATION, *where, by=by, part="count", among=among)


def all_arrivals_in(scope: Scope) -> str:
    """Return the query whose result is recorded: the flows that arrived in the window."""
    return scope.increase(END_TO_END_DURATION, by=FLOW_HOP, part="count", among=OF_ALL_PIPELINES)


def _recorded(scope: Scope, record: str, *where: str, among: Collection[str] | None = None) -> str:
    labels = [label for label in FLOW_HOP if among is None or label in among]
    matchers = [
        f'{label}=~"{scope.only[label]}"' for label in labels if label in scope.only
    ]  # fmt: skip
    return scope.select_recorded(record, *labels, where=", ".join([*matchers, *where]))


def _reported(scope: Scope, window: str) -> str:
    """Return the recorded series of the hops that processes reported within a window."""
    return _recorded(scope, recorded_arrivals(window), among=OF_ALL_PIPELINES)


def _reports(scope: Scope, window: str, ago: str = "") -> str:
    """Return a query for the hops of which processes report, or reported some time ago."""
    offset = f" offset {ago}" if ago else ""
    return aggregate("group", HOP, f"{_reported(scope, window)}{offset}")


def _heard_of(scope: Scope, *by: str) -> str:
    """Return a query for the hops, or groups, whose consumers reported arrivals within hours."""
    series = f"last_over_time({_arrivals(scope, among=OF_ALL_PIPELINES)}[{REMEMBERED_FOR}])"
    return aggregate("group", by or HOP, series)


def _arrivals(scope: Scope, *where: str, among: Collection[str] | None = None) -> str:
    return scope.select(END_TO_END_DURATION, *where, part="count", among=among)


def _counted(scope: Scope, series: str) -> str:
    total = aggregate("sum", FLOW_HOP, series)
    return f"histogram_count({total})" if scope.native else total


def _on_hop() -> str:
    return ", ".join(HOP)
