"""The time between two points of a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import GROUP, PIPELINE, TOPIC
from dashboards.model.promql import aggregate
from dashboards.model.signal import Signal
from tracing.metrics.catalog import END_TO_END_DURATION

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

FROM: Final = "from"
TO: Final = "to"
_HOPS: Final = (PIPELINE, GROUP, TOPIC)


def _age_at(scope: Scope, point: str) -> str:
    return scope.mean(END_TO_END_DURATION, f'{TOPIC}="${point}"', by=_HOPS)


def _between(scope: Scope) -> str:
    first = aggregate("min", (PIPELINE,), _age_at(scope, FROM))
    return f"({_age_at(scope, TO)}) - on ({PIPELINE}) group_left () ({first})"


def _flows_at(scope: Scope, point: str) -> str:
    return scope.rate(END_TO_END_DURATION, f'{TOPIC}="${point}"', by=_HOPS, part="count")


BETWEEN: Final = Signal(
    title="Mean time between the two points",
    description="From the end of processing at the first topic, by the group that is done first, "
    "to the end of processing at the second, by each of its groups. It is a difference of means: "
    "it is the time of a flow where most flows reach both points, as the rates below show.",
    unit="s",
    expr=_between,
    legend=f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}",
)
AGES: Final = tuple(
    Signal(
        title=f"Age at the {which} point",
        description="Mean age of flows when a group has processed the topic.",
        unit="s",
        expr=lambda scope, point=point: _age_at(scope, point),  # type: ignore[misc]
        legend=f"{which}: {{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}",
        exemplars=True,
    )
    for which, point in (("first", FROM), ("second", TO))
)
FLOWS: Final = tuple(
    Signal(
        title=f"Flows at the {which} point",
        description="Flows per second that a group has processed.",
        unit="cps",
        expr=lambda scope, point=point: _flows_at(scope, point),  # type: ignore[misc]
        legend=f"{which}: {{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}",
    )
    for which, point in (("first", FROM), ("second", TO))
)
