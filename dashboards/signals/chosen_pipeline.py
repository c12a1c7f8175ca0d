"""Figures without a pipeline of their own on dashboards where a pipeline can be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.model.labels import PIPELINE, VARIABLE_OF
from dashboards.signals.known_hops import OF_ALL_PIPELINES, known_hops

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
    chosen, every = known_hops(scope, by=on), known_hops(scope, by=on, among=OF_ALL_PIPELINES)
    return f"({query} unless on ({', '.join(on)}) ({every} unless {chosen}))"
