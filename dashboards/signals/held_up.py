"""Which hop holds flows up: the one where records wait, or where they take the most time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.model.labels import GROUP, PIPELINE, RECORDED_HELD_UP, TOPIC
from dashboards.model.signal import Signal
from dashboards.signals import lag
from dashboards.signals.hop_time import own_time
from dashboards.signals.known_hops import known_hops

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

_MOST: Final = 10


def held_up(scope: Scope) -> str:
    """Return a query for how long each hop of a pipeline holds a flow up, in seconds.

    It is the mean time that records took from their creation to the end of their processing, or the
    age of the oldest that waits, if that is longer: a hop that processes nothing has no mean.
    """
    taken = own_time(scope)
    # What is recorded of the lag may be minutes old.
    measured = replace(scope, ruleset="")
    on = f"on ({GROUP}, {TOPIC})"
    waiting = f"({known_hops(scope)} * {on} group_left () {lag.SECONDS.expr(measured)})"
    return f"({waiting} > {taken} or {taken} or {waiting})"


def _worst(scope: Scope) -> str:
    if scope.ruleset:
        every = scope.select_recorded(RECORDED_HELD_UP, PIPELINE, GROUP, TOPIC)
    else:
        every = held_up(scope)
    return f"topk({_MOST}, {every} > 0)"


HELD_UP: Final = Signal(
    title="Where flows are held up",
    description="For each hop, the mean time from a record's creation to the end of its "
    "processing, or the age of the oldest record that waits there, if that is longer. The first "
    "bar is the hop to look at. Each hop counts by itself: those before it are not included.",
    unit="s",
    expr=lambda scope: f"sort_desc({_worst(scope)})",
    legend=f"{{{{{PIPELINE}}}}}: {{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}",
)
