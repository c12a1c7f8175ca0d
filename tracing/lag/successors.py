"""Groups that their application has left for another one, such as by renaming its group.

A killed service leaves an empty group behind, and so does an application that now reads as another
group. From outside they differ in one way only: of the latter, the same application still reads the
topics. So a group without members is *replaced* by another group when all of this holds:

1. The other group subscribes to every topic on which the group has offsets, or which its last
   member was assigned.
2. A member of the other group has the client id of a member that the group had. Kafka defines
   `client.id` as the logical name of an application. Names that client libraries choose by
   themselves say nothing about the application.
3. The monitor saw the group with members, and after that the other one come. What it saw before is
   not new: one sweep may miss a group.
4. At most an hour passed between the group's last member and the other group. A rename takes
   minutes. A group that comes days after an outage has not caused it, and must not end its alert.
5. They overlapped by less than a day. Two groups that one application runs side by side for longer
   are both in use.

The other group no longer replaces it once it drops one of the topics, or has neither members nor
offsets there.

In all other cases a group without members is an outage: a wrong alarm is better than a silent
outage. So a monitor that starts after the change does not know of it, and calls the group dead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tracing.kafka.groups import Group

_OVERLAP_S: Final = 86_400.0
_GAP_S: Final = 3_600.0
# The names that aiokafka, librdkafka, Java and its tools, kafka-python, PyKafka, Sarama, franz-go,
# KafkaJS, kafka-node, no-kafka, ruby-kafka and rskafka give themselves.
_OF_LIBRARIES: Final = re.compile(
    r"|aiokafka-.*|rdkafka|(consumer|producer|console)-.*|kafka-python-.*|pykafka|sarama|kgo"
    r"|kafkajs|kafka-node-client|no-kafka-client|ruby-kafka|rskafka.*"
)


class Reader(NamedTuple):
    """A group in one sweep.

    Attributes:
        group: The group.
        topics: The topics on which it has offsets, or which its last members were assigned.
    """

    group: Group
    topics: frozenset[str]


@dataclass(slots=True)
class _Members:
    """What is known of a group that has had members.

    Attributes:
        came_at: When the monitor last saw that it was not there, before its first members; `None`
            if it was there from the start.
        first_at: When it was first seen with members.
        last_at: When it was last seen with members.
        there_at: When it was last seen at all.
        clients: The client ids of its last members.
    """

    came_at: float | None
    first_at: float
    last_at: float
    there_at: float
    clients: frozenset[str] = frozenset()


class Successors:
    """Finds replaced groups. For one task."""

    def __init__(self) -> None:
        self._members: dict[str, _Members] = {}
        self._replaced: dict[str, str] = {}

    def observe(
        self,
        at: float,
        readers: Sequence[Reader],
        came_at: Callable[[str], float | None],
        *,
        complete: bool,
    ) -> dict[str, str]:
        """Record a sweep; return the groups that replaced others, by the name of the latter.

        Args:
            at: The moment of the sweep, in seconds.
            readers: All groups.
            came_at: Returns when the monitor last saw that a group was not there; `None` if it was
                there from the start.
            complete: Whether there are no other groups.
        """
        for group, _ in readers:
            self._note(at, group, came_at)
        if complete:
            self._forget(at, {group.name for group, _ in readers})
        by_name = {reader.group.name: reader for reader in readers}
        self._replaced = {
            name: successor
            for name, successor in self._replaced.items()
            if _still_reads(by_name.get(successor), by_name.get(name))
        }
        for reader in readers:
            if reader.group.members == 0 and reader.group.name not in self._replaced:
                successor = self._successor(reader, readers)
                if successor is not None:
                    self._replaced[reader.group.name] = successor
        return dict(self._replaced)

    def _note(self, at: float, group: Group, came_at: Callable[[str], float | None]) -> None:
        if group.members:
            # Kept, as a group that one sweep missed would look as if it had just come.
            first = _Members(came_at(group.name), at, at, at)
            seen = self._members.setdefault(group.name, first)
            seen.last_at = at
            seen.clients = _applications(group.clients) or seen.clients
            self._replaced.pop(group.name, None)
        if group.name in self._members:
            self._members[group.name].there_at = at

    def _successor(self, reader: Reader, readers: Sequence[Reader]) -> str | None:
        seen = self._members.get(reader.group.name)
        if seen is None or not reader.topics:
            return None
        for group, _ in readers:
            other = self._members.get(group.name)
            came = None if other is None else other.came_at
            if (
                came is not None
                and seen.first_at <= came
                and -_GAP_S < seen.last_at - came < _OVERLAP_S
                and seen.clients & group.clients
                and group.subscribed is not None
                and reader.topics <= group.subscribed
            ):
                return group.name
        return None

    def _forget(self, at: float, existing: Collection[str]) -> None:
        """Forget groups that are gone for long; what they replaced has no successor at once."""
        for name in self._members.keys() - existing:
            if at - self._members[name].there_at >= _OVERLAP_S:
                del self._members[name]
        self._replaced = {
            group: successor
            for group, successor in self._replaced.items()
            if group in existing and successor in existing
        }


def _applications(clients: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in clients if not _OF_LIBRARIES.fullmatch(name))


def _still_reads(successor: Reader | None, reader: Reader | None) -> bool:
    """Return whether a successor has not dropped a topic, as far as that is known."""
    if successor is None or reader is None:
        return True
    if successor.group.members == 0:
        return reader.topics <= successor.topics
    subscribed = successor.group.subscribed
    return subscribed is None or reader.topics <= subscribed
