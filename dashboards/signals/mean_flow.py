"""A mean flow as a waterfall: when each message of it arrives at a hop, and what it does there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import GROUP, PIPELINE, STOP, TOPIC, TYPE
from dashboards.model.promql import aggregate
from dashboards.model.signal import Signal
from dashboards.signals.hop_time import LAYER_NAMES, layers_of, own_time
from tracing.metrics.catalog import END_TO_END_DURATION

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

_HOPS: Final = (PIPELINE, GROUP, TOPIC)
_KIND: Final = (*_HOPS, TYPE)
_NAMED: Final = ", ".join(f'"{label}"' for label in _KIND)
_ON_HOP: Final = f"on ({', '.join(_HOPS)}) group_left ()"
_MOST: Final = 60


def _ages(scope: Scope) -> str:
    """Return a query for the mean age of flows by kind; of a hub, each type is another time."""
    return f"topk({_MOST}, {scope.mean(END_TO_END_DURATION, by=_KIND)})"


def _before(scope: Scope) -> str:
    return _named(f"clamp_min({_ages(scope)} - {_ON_HOP} {own_time(scope)}, 0)")


def _layer(scope: Scope, number: int) -> str:
    return _named(f"0 * {_ages(scope)} + {_ON_HOP} {layers_of(scope)[number]}")


def _named(kinds: str) -> str:
    """Return the values by one label: the panel has one column for the names of its rows."""
    return aggregate("sum", (STOP,), f'label_join({kinds}, "{STOP}", " ", {_NAMED})')


def _signal(name: str, number: int | None) -> Signal:
    return Signal(
        title=name,
        description="One row for each type of message at each hop of a mean flow, from top to "
        "bottom in the order in which they are created. A row begins at the age of the flow when "
        "its message is created, and ends at its age when the message is processed. Read it like a "
        "trace: rows below each other are steps, rows beside each other run at once. The parts are "
        "those of all types at the hop. In a resource wait, handlers wait for their turn, such as "
        "for a database.",
        unit="s",
        expr=lambda scope: _before(scope) if number is None else _layer(scope, number),
        empty="nothing has arrived, or no service reports",
    )


PARTS: Final = (
    _signal("Before", None),
    *(_signal(name, n) for n, name in enumerate(LAYER_NAMES)),
)
"""Add up to the mean age of flows in each row; the first one is not drawn."""
