"""The map of services and topics, with the labels that the node graph panel requires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import ERROR, KIND, OPERATION, SERVICE, TOPIC
from dashboards.model.promql import aggregate
from dashboards.model.signal import Signal
from dashboards.signals.chosen_pipeline import of_chosen_pipeline
from tracing.metrics.catalog import (
    CONSUMED_MESSAGES,
    OPERATION_DURATION,
    PROCESS_DURATION,
    SENT_MESSAGES,
)

if TYPE_CHECKING:
    from dashboards.model.promql import Scope
    from tracing.metrics.metric import Metric

# The panel finds its fields by these names.
_ID: Final = "id"
_TITLE: Final = "title"
_KIND: Final = "subtitle"
_DASHES: Final = "strokedasharray"
_COLOUR: Final = "color"
_STAT: Final = "secondarystat"
# Rows with this beginning are listed in the menu of an edge.
_TOOK: Final = "detail__milliseconds"
_FAILED: Final = "detail__failed_percent"
_DEAD_LETTER_TOPIC: Final = ".+[.]dlq"
_ENDS: Final = (SERVICE, TOPIC)
_SEND: Final = "send"


def _edges(scope: Scope) -> str:
    sent = _with_stats(
        scope,
        _rates(scope, SENT_MESSAGES, KIND),
        OPERATION_DURATION,
        f'{OPERATION}="{_SEND}"',
    )
    received = _with_stats(scope, _rates(scope, CONSUMED_MESSAGES, KIND), PROCESS_DURATION)
    out = _label(_label(sent, "source", "service $1", SERVICE), "target", "topic $1", TOPIC)
    into = _label(_label(received, "source", "topic $1", TOPIC), "target", "service $1", SERVICE)
    dashed = f'label_replace({out} or {into}, "{_DASHES}", "6 4", "{KIND}", "event")'
    red = f'label_replace({dashed}, "{_COLOUR}", "red", "{_FAILED}", ".*[1-9].*")'
    # With the kind: while a new declaration is rolled out, one service may report two.
    return f'label_join({red}, "{_ID}", " to ", "source", "target", "{KIND}")'


def _rates(scope: Scope, metric: Metric, *labels: str) -> str:
    """Return the rates of all edges of a chosen pipeline, by their ends and these labels."""
    return of_chosen_pipeline(scope, scope.rate(metric, by=(*_ENDS, *labels)), TOPIC)


def _with_stats(scope: Scope, rates: str, duration: Metric, *where: str) -> str:
    """Return rates with the mean duration and the share of failures of each edge as labels.

    An edge has two numbers, and a query returns one value, so these stand in labels.
    """
    took = f"round({scope.mean(duration, *where, by=_ENDS)} * 1000)"
    ended = scope.increase(duration, *where, by=_ENDS, part="count")
    failed = scope.increase(duration, *where, f'{ERROR}!=""', by=_ENDS, part="count")
    share = f"round(100 * ({failed} or 0 * {ended}) / ({ended} > 0), 0.1)"
    on = f"on ({', '.join(_ENDS)})"
    stats = f"{_as_label(_TOOK, took)} * {on} group_left ({_FAILED}) {_as_label(_FAILED, share)}"
    labelled = f"{rates} * {on} group_left ({_TOOK}, {_FAILED}) ({stats})"
    joined = f'label_join({labelled}, "{_STAT}", "|", "{_TOOK}", "{_FAILED}")'
    text = f'label_replace({joined}, "{_STAT}", "$1 ms, $2 % failed", "{_STAT}", "(.+)[|](.+)")'
    return f"({text} or {on} {rates})"


def _as_label(label: str, numbers: str) -> str:
    """Return 1 for each edge, with its number as a label."""
    return f'count_values by ({", ".join(_ENDS)}) ("{label}", {numbers})'


def _nodes(scope: Scope) -> str:
    """Return a query for every service and topic that has an edge, with its rate in and out.

    The panel breaks if an edge lacks a node. Some topics have no sender that reports, and some
    services only receive, so nodes come from both directions.
    """
    rates = " or ".join(
        _label(
            _node(kind, label, aggregate("sum", (label,), _rates(scope, metric))),
            "way",
            direction,
            label,
        )
        for kind, label in (("service", SERVICE), ("topic", TOPIC))
        for metric, direction in ((SENT_MESSAGES, "out"), (CONSUMED_MESSAGES, "in"))
    )
    named = (
        f'label_replace({rates}, "{_KIND}", "dead letters", "{_ID}", "topic {_DEAD_LETTER_TOPIC}")'
    )
    red = f'label_replace({named}, "{_COLOUR}", "red", "{_KIND}", "dead letters")'
    return f"sum by ({_ID}, {_TITLE}, {_KIND}, {_COLOUR}) ({red})"


def _node(kind: str, label: str, rate: str) -> str:
    titled = _label(_label(rate, _ID, f"{kind} $1", label), _TITLE, "$1", label)
    return _label(titled, _KIND, kind, label)


def _label(expr: str, label: str, value: str, origin: str) -> str:
    return f'label_replace({expr}, "{label}", "{value}", "{origin}", "(.*)")'


EDGES: Final = Signal(
    title="Senders and receivers of each topic",
    description="Records per second, from metrics, so sampling hides nothing; then the mean time "
    "of a send or of processing, and how many of these failed. Dashed lines are events, solid ones "
    "are commands or of no declared kind, red ones have failures.",
    unit="recps",
    expr=_edges,
)
NODES: Final = Signal(
    title="Services and topics",
    description="Records per second that a service sends and receives, or that go into a topic and "
    "out of it. Topics of dead letters are red.",
    unit="recps",
    expr=_nodes,
)
