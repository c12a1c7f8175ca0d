"""Who a consumer is in its group, as the group's coordinator knows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Membership:
    """A consumer's place in its group; a rebalance gives it another one.

    Attributes:
        group: The group.
        member_id: The member.
        generation: How often the group was rebalanced.
        instance_id: The member's static name (KIP-345), if it has one.
    """

    group: str
    member_id: str
    generation: int
    instance_id: str | None = None


class GroupMovedOnError(Exception):
    """The group has been rebalanced: these offsets are no longer this member's to commit."""
