"""What a group holds and subscribes to, from the coordinator's answers."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.structs import TopicPartition

from tests.tracing.lag.test_protocol import ASSIGNMENT, METADATA
from tracing.kafka.group_protocol import DescribeGroups
from tracing.kafka.groups import Groups

if TYPE_CHECKING:
    from tracing.kafka.cluster import Cluster
    from tracing.kafka.groups import Group

HELD, SUBSCRIBED, LEFT = (TopicPartition(topic, 0) for topic in ("t", "uv", "left"))
"""By `ASSIGNMENT` and `METADATA`."""
NOT_FOUND = 69


@dataclass
class Coordinator:
    """Answers one description of a classic group, or else of one of the newer protocol."""

    classic: tuple[Any, ...]
    newer: tuple[Any, ...] = ()

    async def coordinator(self, name: str) -> int:
        return 1

    def partition(self, topic: str, number: int) -> TopicPartition:
        return TopicPartition(topic, number)

    async def send(self, node: int, request: Any) -> Any:
        described = self.classic if isinstance(request, DescribeGroups) else self.newer
        return SimpleNamespace(groups=[described])

    async def group(self) -> Group:
        (group,) = await Groups(cast("Cluster", self)).described(["g"])
        return group


def classic(*metadata: bytes, kind: str = "consumer", state: str = "Stable") -> Coordinator:
    members = [("m", "client", "host", each, ASSIGNMENT) for each in metadata]
    return Coordinator((0, "g", state, kind, "range", members))


def newer(
    *, names: list[str], pattern: str | None, target: str | None, state: str = "Stable"
) -> Coordinator:
    def assignment(topic: str | None) -> Any:
        return [] if topic is None else [(1, 2, 3, 4, topic, [0], {})], {}

    member: Any = ("m", None, None, 3, "client", "host", names, pattern, assignment("t"),
              assignment(target), {})  # fmt: skip
    return Coordinator(
        (NOT_FOUND, "g", "Dead", "", "", []),
        (0, None, "g", state, 3, 3, "uniform", [member], -1, {}),
    )


@pytest.mark.parametrize(
    ("coordinator", "abandoned"),
    [
        (classic(METADATA), [False, False, True]),
        (classic(METADATA, METADATA), [False, False, True]),
        (classic(), [None, None, None]),
        (classic(METADATA, b""), [None, None, None]),
        (classic(METADATA, kind="connect"), [None, None, None]),
        (newer(names=["uv"], pattern=None, target="t"), [False, False, True]),
        (newer(names=[], pattern="u.*", target="uv"), [False, False, True]),
        (newer(names=["uv"], pattern="x.*", target=None), [None, None, None]),
        (newer(names=[], pattern="u.*", target="uv", state="Assigning"), [None, None, None]),
        (newer(names=["uv"], pattern=None, target="t", state="Assigning"), [False, False, True]),
        (Coordinator((0, "g", "Empty", "consumer", "", [])), [None, None, None]),
    ],
)  # fmt: skip
async def test_a_group_abandons_what_no_member_has_or_subscribes_to(
    coordinator: Coordinator, abandoned: list[bool | None]
) -> None:
    group = await coordinator.group()

    assert abandoned == [group.has_abandoned(tp) for tp in (HELD, SUBSCRIBED, LEFT)]


async def test_groups_that_are_not_wanted_are_not_described() -> None:
    groups = Groups(cast("Cluster", classic(METADATA)))

    assert [] == await groups.described(["g"], lambda name: name != "g")
