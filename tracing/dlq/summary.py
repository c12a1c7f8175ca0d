"""Count dead letters by topic, group and error, with the times of failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracing.dlq.replayed import ReplayState
from tracing.headers.dead_letter import WRITTEN_BY

if TYPE_CHECKING:
    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.headers.dead_letter import Provenance

_FIRST: Final = 10


@dataclass(slots=True)
class Group:
    """Dead letters of one topic, group and error.

    Attributes:
        letters: Number of dead letters.
        attempts: The largest number of attempts of one dead letter.
        oldest_ms: The earliest failure, unix ms.
        newest_ms: The latest failure, unix ms.
        example: The latest dead letter.
        written_by: What wrote the first dead letter, as in `Provenance`.
        replayed: Number of dead letters that were replayed.
        perhaps_replayed: Number of dead letters that a replay has begun to send, without an end.
    """

    letters: int
    attempts: int
    oldest_ms: int
    newest_ms: int
    example: LetterId
    written_by: str = WRITTEN_BY
    replayed: int = 0
    perhaps_replayed: int = 0


class Summary:
    """Counts dead letters while they are read; memory grows only with the number of groups.

    Args:
        most: Number of groups to keep; by default all. Of dead letters that belong to a further
            group, only the number is kept.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.beyond = 0
        """Number of dead letters that belong to no group that is kept."""
        self.groups: dict[tuple[str, str, str, str], Group] = {}
        """By dead-letter topic, source topic, consumer group and error type."""
        self.not_dead_letters = 0
        """Number of records without provenance."""
        self.first_not_dead_letters: list[LetterId] = []
        """The ids of the first of them."""
        self.refused = 0
        """Number of dead letters whose origin cannot be right, which are not replayed."""
        self.first_refused: dict[LetterId, str] = {}
        """The ids of the first of them, and the reasons."""
        self.unreadable = 0
        """Number of dead letters that clients cannot read."""
        self.first_unreadable: dict[LetterId, str] = {}
        """The ids of the first of them, and the reasons."""

    @property
    def read(self) -> int:
        """Number of records that were read, dead letters or not."""
        return self.letters + self.not_dead_letters + self.unreadable

    @property
    def letters(self) -> int:
        """Number of dead letters."""
        return sum(group.letters for group in self.groups.values()) + self.beyond

    @property
    def replayed(self) -> int:
        """Number of dead letters that were replayed."""
        return sum(group.replayed for group in self.groups.values())

    @property
    def perhaps_replayed(self) -> int:
        """Number of dead letters that a replay has begun to send, without an end."""
        return sum(group.perhaps_replayed for group in self.groups.values())

    def add(
        self,
        dead_letter: Letter,
        refusal: str | None = None,
        replayed: ReplayState = ReplayState.UNKNOWN,
    ) -> None:
        """Count a dead letter.

        Args:
            dead_letter: The dead letter.
            refusal: Why it is not replayed, if it is not.
            replayed: Whether it was replayed before.
        """
        if refusal is not None:
            self.refused += 1
            if len(self.first_refused) < _FIRST:
                self.first_refused[dead_letter.id] = refusal
        provenance = dead_letter.provenance
        if dead_letter.problem is not None:
            self.unreadable += 1
            if len(self.first_unreadable) < _FIRST:
                self.first_unreadable[dead_letter.id] = dead_letter.problem
            if provenance is None:
                return
        if provenance is None:
            self.not_dead_letters += 1
            if len(self.first_not_dead_letters) < _FIRST:
                self.first_not_dead_letters.append(dead_letter.id)
            return
        self._count(dead_letter, provenance, replayed)

    def _count(self, dead_letter: Letter, provenance: Provenance, replayed: ReplayState) -> None:
        failed_at_ms = provenance.failed_at_ms
        key = (dead_letter.id.topic, provenance.topic, provenance.group, provenance.exception)
        group = self.groups.get(key)
        if group is None:
            if self._most is not None and len(self.groups) >= self._most:
                self.beyond += 1
                return
            group = self.groups[key] = Group(
                0, provenance.attempts, failed_at_ms, failed_at_ms, dead_letter.id,
                provenance.written_by,
            )  # fmt: skip
        group.letters += 1
        group.replayed += replayed is ReplayState.YES
        group.perhaps_replayed += replayed is ReplayState.PERHAPS
        group.attempts = max(group.attempts, provenance.attempts)
        group.oldest_ms = min(group.oldest_ms, failed_at_ms)
        if failed_at_ms >= group.newest_ms:
            group.newest_ms = failed_at_ms
            group.example = dead_letter.id
