"""Groups that their application has left for another one, such as by renaming its group.

A killed service leaves an empty group behind, and so does an application that now reads as another
group. From outside they differ in one way only: of the latter, the same application still reads the
topics. So a group without members is *replaced* by another group when all of this holds:

1. The other group subscribes to every topic on which the group has offsets.
2. A member of the other group has the client id of a member that the group had. Kafka defines
   `client.id` as the logical name of an application. Names that client libraries choose by
   themselves say nothing about the application.
3. The monitor saw the group with members, and after that the other one come.
4. They overlapped by less than a day. Two groups that one application runs side by side for longer
   are both in use.

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
# The names that aiokafka, librdkafka, Java, kafka-python, Sarama and franz-go give themselves.
_OF_LIBRARIES: Final = re.compile(r"|aiokafka-.*|rdkafka|consumer-.*|kafka-python-.*|sarama|kgo")


class Reader(NamedTuple):
    """A group in one sweep.

    Attributes:
        group: The group.
        topics: The topics on which it has offsets.
    """

    group: Group
    topics: frozenset[str]


@dataclass(slots=True)
class _Members:
    """When a group was first and last seen with members, and the client ids of the last ones."""

    first_at: float
    last_at: float
    clients: frozenset[str]


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
            if group.members:
                seen = self._members.setdefault(group.name, _Members(at, at, frozenset()))
                seen.last_at = at
                seen.clients = _applications(group.clients) or seen.clients
                self._replaced.pop(group.name, None)
        if complete:
            self._forget({group.name for group, _ in readers})
        for reader in readers:
            if reader.group.members == 0 and reader.group.name not in self._replaced:
                successor = self._successor(reader, readers, came_at)
                if successor is not None:
                    self._replaced[reader.group.name] = successor
        return dict(self._replaced)

    def _successor(
        self, reader: Reader, readers: Sequence[Reader], came_at: Callable[[str], float | None]
    ) -> str | None:
        seen = self._members.get(reader.group.name)
        if seen is None or not reader.topics:
            return None
        for group, _ in readers:
            came = came_at(group.name)
            if (
                came is not None
                and seen.first_at <= came
                and seen.last_at - came < _OVERLAP_S
                and seen.clients & group.clients
                and group.subscribed is not None
                and reader.topics <= group.subscribed
            ):
                return group.name
        return None

    def _forget(self, existing: Collection[str]) -> None:
        """Forget groups that are gone; what they replaced has no successor any longer."""
        for gone in self._members.keys() - existing:
            del self._members[gone]
        self._replaced = {
            group: successor
            for group, successor in self._replaced.items()
            if group in existing and successor in existing
        }


def _applications(clients: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in clients if not _OF_LIBRARIES.fullmatch(name))
