"""Groups that a sweep does not list, although they may still exist.

A group that is gone has no status any longer; one that the cluster does not answer for has an
unknown one. They differ in the sweep's remarks: a group may still exist if the cluster did not
answer what it was asked about groups, or if it answered for the group, and not for its partitions.
Remarks on anything else say nothing about a group that is no longer listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from tracing.kafka.cluster import Remarks


class GroupRemarks(NamedTuple):
    """What a cluster did not say when it was asked for its groups and their commits."""

    missing_rights: frozenset[str]
    unanswered: frozenset[str]

    @classmethod
    def of(cls, remarks: Remarks) -> GroupRemarks:
        """Copy the remarks, to which other questions of the sweep will add theirs."""
        return cls(frozenset(remarks.missing_rights), frozenset(remarks.unanswered))

    def may_hide(self, group: str) -> bool:
        """Return whether a group may exist, although it was not described."""
        return f"Describe on group {group}" in self.missing_rights or any(
            remark.startswith(("cluster: ", "groups of broker ", f"group {group}: "))
            for remark in self.unanswered
        )


class SilentGroups:
    """Remembers the groups of earlier sweeps. For one task."""

    def __init__(self) -> None:
        self._named: frozenset[str] = frozenset()

    def observe(
        self, listed: Collection[str], committed: Collection[str], about_groups: GroupRemarks,
        *, complete: bool,
    ) -> tuple[str, ...]:  # fmt: skip
        """Record a sweep; return the groups that may still exist and are not listed, sorted.

        Args:
            listed: The groups with at least one partition whose end is known.
            committed: The groups with at least one partition.
            about_groups: What was not answered about groups.
            complete: Whether the whole sweep was answered.
        """
        silent = {
            name
            for name in self._named.difference(listed)
            if about_groups.may_hide(name) or (name in committed and not complete)
        }
        self._named = frozenset(silent.union(listed))
        return tuple(sorted(silent))
