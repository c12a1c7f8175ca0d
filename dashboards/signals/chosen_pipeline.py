"""Figures without a pipeline of their own on dashboards where a pipeline can be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.model.counting import REMEMBERED_FOR
from dashboards.model.labels import PIPELINE, VARIABLE_OF
from dashboards.model.promql import aggregate
from dashboards.model.series import labels_of
from tracing.metrics.catalog import END_TO_END_DURATION

if TYPE_CHECKING:
    from dashboards.model.promql import Scope


def of_chosen_pipeline(scope: Scope, query: str, *on: str) -> str:
    """Return a query without the hops at which only flows of other pipelines arrive.

    A hop that several pipelines share is one of each. A hop at which nothing ever arrived stays:
    that its group is dead may be the reason.

    Args:
        scope: The scope of the query.
        query: The query.
        on: The labels of its series that name the hop: topic, group or both.
    """
    if VARIABLE_OF[PIPELINE] not in scope.variables and PIPELINE not in scope.only:
        return query
    others = labels_of(END_TO_END_DURATION) - {PIPELINE}
    chosen, every = (
        aggregate("group", on, f"last_over_time({arrivals}[{REMEMBERED_FOR}])")
        for arrivals in (
            scope.select(END_TO_END_DURATION, part="count"),
            scope.select(END_TO_END_DURATION, part="count", among=others),
        )
    )
    return f"({query} unless on ({', '.join(on)}) ({every} unless {chosen}))"
