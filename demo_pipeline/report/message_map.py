"""Which services send what to which, from metrics, which are never sampled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.facts import number_points
from demo_pipeline.report.model import reader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.metrics.export import MetricsData

_SENT: Final = "messaging.client.sent.messages"
_CONSUMED: Final = "messaging.client.consumed.messages"
_OPERATION: Final = "messaging.operation.name"
_TOPIC: Final = "messaging.destination.name"
_GROUP: Final = "messaging.consumer.group.name"
_KIND: Final = "message.kind"
_TYPE: Final = "message.type"
_COMMAND: Final = "command"


@dataclass(frozen=True, slots=True)
class MappedTopic:
    """A topic with its senders and its readers.

    Attributes:
        topic: The topic.
        kind: `event` or `command`; empty where no service declares it.
        types: The types of the messages with their number, the most frequent first.
        senders: The services that sent to it.
        readers: The services that read it, with their group if that has another name.
        groups: The consumer groups that read it.
    """

    topic: str
    kind: str
    types: tuple[tuple[str, int], ...]
    senders: tuple[str, ...]
    readers: tuple[str, ...]
    groups: tuple[str, ...]

    @property
    def is_command(self) -> bool:
        """Whether it holds commands, which have one receiver."""
        return self.kind == _COMMAND

    @property
    def fault(self) -> str | None:
        """What is wrong with its readers, as a sentence; `None` if nothing is."""
        if not self.is_command or len(self.groups) <= 1:
            return None
        return (
            f"commands in {self.topic} are read by {len(self.groups)} groups, and each carries "
            f"them out: {', '.join(self.groups)}"
        )


@dataclass(slots=True)
class _Counts:
    kinds: set[str] = field(default_factory=set)
    types: Counter[str] = field(default_factory=Counter)
    senders: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)


def message_map(metrics: Iterable[MetricsData]) -> tuple[MappedTopic, ...]:
    """Return the topics that messages went through, by name; dead letters are left out.

    Args:
        metrics: The last cumulative metrics of each service.
    """
    topics: dict[str, _Counts] = {}
    for service, metric, point in number_points(metrics, {_SENT, _CONSUMED}):
        attributes = point.attributes or {}
        number, topic = int(point.value), str(attributes.get(_TOPIC, ""))
        sent = metric == _SENT
        if number <= 0 or not topic or (sent and attributes.get(_OPERATION, "send") != "send"):
            continue
        counts = topics.setdefault(topic, _Counts())
        counts.kinds.add(str(attributes.get(_KIND, "")))
        if not sent:
            group = str(attributes.get(_GROUP, ""))
            counts.groups.add(group or service)
            counts.readers.add(reader(service, group))
            continue
        counts.senders.add(service)
        if _TYPE in attributes:
            counts.types[str(attributes[_TYPE])] += number
    return tuple(
        MappedTopic(
            topic,
            max(counts.kinds),
            tuple(sorted(counts.types.items(), key=lambda each: (-each[1], each[0]))),
            tuple(sorted(counts.senders)),
            tuple(sorted(counts.readers)),
            tuple(sorted(counts.groups)),
        )
        for topic, counts in sorted(topics.items())
    )
