"""The map of services and topics, as the node graph panel wants it: with id, source and target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.labels import SERVICE, TOPIC
from dashboards.signal import Signal
from tracing.catalog import CONSUMED_MESSAGES, SENT_MESSAGES

if TYPE_CHECKING:
    from dashboards.scope import Scope

_SERVICE_NODE: Final = "service $1"
_TOPIC_NODE: Final = "topic $1"


def _edges(scope: Scope) -> str:
    sent = scope.rate(SENT_MESSAGES, by=(SERVICE, TOPIC))
    received = scope.rate(CONSUMED_MESSAGES, by=(SERVICE, TOPIC))
    out = _named(_named(sent, "source", _SERVICE_NODE, SERVICE), "target", _TOPIC_NODE, TOPIC)
    into = _named(_named(received, "source", _TOPIC_NODE, TOPIC), "target", _SERVICE_NODE, SERVICE)
    return f'label_join({out} or {into}, "id", " to ", "source", "target")'


def _nodes(scope: Scope) -> str:
    """Every service and topic, with how much it sends or takes up per second."""
    services = scope.rate(SENT_MESSAGES, by=(SERVICE,))
    listeners = scope.rate(CONSUMED_MESSAGES, by=(SERVICE,))
    topics = scope.rate(SENT_MESSAGES, by=(TOPIC,))
    named = (
        _named(services, "id", _SERVICE_NODE, SERVICE),
        _named(listeners, "id", _SERVICE_NODE, SERVICE),
        _named(topics, "id", _TOPIC_NODE, TOPIC),
    )
    found = " or ".join(f"sum by (id) ({each})" for each in named)
    return f'label_replace({found}, "title", "$1", "id", "(.*)")'


def _named(expr: str, label: str, value: str, origin: str) -> str:
    return f'label_replace({expr}, "{label}", "{value}", "{origin}", "(.*)")'


EDGES: Final = Signal(
    title="Who sends to which topic, and who receives from it",
    description="Records per second, made from metrics, so sampling leaves nothing out.",
    unit="cps",
    expr=_edges,
)
NODES: Final = Signal(
    title="Services and topics",
    description="Records per second that a service sends or receives, and that a topic takes up.",
    unit="cps",
    expr=_nodes,
)
