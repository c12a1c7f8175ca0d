"""The map of services and topics, as the node graph panel wants it: with id, source and target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import SERVICE, TOPIC
from dashboards.model.signal import Signal
from tracing.metrics.catalog import CONSUMED_MESSAGES, SENT_MESSAGES

if TYPE_CHECKING:
    from dashboards.model.promql import Scope

# The panel knows its fields by these names.
_ID: Final = "id"
_TITLE: Final = "title"
_KIND: Final = "subtitle"


def _edges(scope: Scope) -> str:
    sent = scope.rate(SENT_MESSAGES, by=(SERVICE, TOPIC))
    received = scope.rate(CONSUMED_MESSAGES, by=(SERVICE, TOPIC))
    out = _named(_named(sent, "source", "service $1", SERVICE), "target", "topic $1", TOPIC)
    into = _named(_named(received, "source", "topic $1", TOPIC), "target", "service $1", SERVICE)
    return f'label_join({out} or {into}, "{_ID}", " to ", "source", "target")'


def _nodes(scope: Scope) -> str:
    """Every service and topic that an edge has, with how much goes in and out per second.

    An edge without one of its nodes breaks the panel: a topic that nobody who reports sends to is
    known from those who receive, and a service that only listens likewise.
    """
    ways = " or ".join(
        _named(_node(kind, label, scope.rate(metric, by=(label,))), "way", way, label)
        for kind, label in (("service", SERVICE), ("topic", TOPIC))
        for metric, way in ((SENT_MESSAGES, "out"), (CONSUMED_MESSAGES, "in"))
    )
    return f"sum by ({_ID}, {_TITLE}, {_KIND}) ({ways})"


def _node(kind: str, label: str, rate: str) -> str:
    titled = _named(_named(rate, _ID, f"{kind} $1", label), _TITLE, "$1", label)
    return _named(titled, _KIND, kind, label)


def _named(expr: str, label: str, value: str, origin: str) -> str:
    return f'label_replace({expr}, "{label}", "{value}", "{origin}", "(.*)")'


EDGES: Final = Signal(
    title="Who sends to which topic, and who receives from it",
    description="Records per second, made from metrics, so sampling leaves nothing out.",
    unit="recps",
    expr=_edges,
)
NODES: Final = Signal(
    title="Services and topics",
    description="Records per second that a service sends and receives, or that are sent to a topic "
    "and delivered from it.",
    unit="recps",
    expr=_nodes,
)
