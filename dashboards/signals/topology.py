"""The map of services and topics, with the labels that the node graph panel requires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import KIND, SERVICE, TOPIC
from dashboards.model.signal import Signal
from tracing.metrics.catalog import CONSUMED_MESSAGES, SENT_MESSAGES

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

# The panel finds its fields by these names.
_ID: Final = "id"
_TITLE: Final = "title"
_KIND: Final = "subtitle"
_DASHES: Final = "strokedasharray"


def _edges(scope: Scope) -> str:
    sent = scope.rate(SENT_MESSAGES, by=(SERVICE, TOPIC, KIND))
    received = scope.rate(CONSUMED_MESSAGES, by=(SERVICE, TOPIC, KIND))
    out = _label(_label(sent, "source", "service $1", SERVICE), "target", "topic $1", TOPIC)
    into = _label(_label(received, "source", "topic $1", TOPIC), "target", "service $1", SERVICE)
    dashed = f'label_replace({out} or {into}, "{_DASHES}", "6 4", "{KIND}", "event")'
    # With the kind: while a new declaration is rolled out, one service may report two.
    return f'label_join({dashed}, "{_ID}", " to ", "source", "target", "{KIND}")'


def _nodes(scope: Scope) -> str:
    """Return a query for every service and topic that has an edge, with its rate in and out.

    The panel breaks if an edge lacks a node. Some topics have no sender that reports, and some
    services only receive, so nodes come from both directions.
    """
    rates = " or ".join(
        _label(_node(kind, label, scope.rate(metric, by=(label,))), "way", direction, label)
        for kind, label in (("service", SERVICE), ("topic", TOPIC))
        for metric, direction in ((SENT_MESSAGES, "out"), (CONSUMED_MESSAGES, "in"))
    )
    return f"sum by ({_ID}, {_TITLE}, {_KIND}) ({rates})"


def _node(kind: str, label: str, rate: str) -> str:
    titled = _label(_label(rate, _ID, f"{kind} $1", label), _TITLE, "$1", label)
    return _label(titled, _KIND, kind, label)


def _label(expr: str, label: str, value: str, origin: str) -> str:
    return f'label_replace({expr}, "{label}", "{value}", "{origin}", "(.*)")'


EDGES: Final = Signal(
    title="Senders and receivers of each topic",
    description="Records per second, from metrics, so sampling hides nothing. Dashed lines are "
    "events, solid ones are commands or of no declared kind.",
    unit="recps",
    expr=_edges,
)
NODES: Final = Signal(
    title="Services and topics",
    description="Records per second that a service sends and receives, or that go into a topic and "
    "out of it.",
    unit="recps",
    expr=_nodes,
)
