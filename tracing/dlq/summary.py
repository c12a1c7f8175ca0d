"""Dead letters summed up: how many of a kind there are, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter

_NAMED: Final = 10


@dataclass(slots=True)
class Group:
    """Letters of one topic, group and error.

    Attributes:
        letters: How many.
        attempts: The most attempts that one of them had.
        oldest_ms: The earliest failure, unix ms.
        newest_ms: The latest failure, unix ms.
        example: The latest letter.
    """

    letters: int
    attempts: int
    oldest_ms: int
    newest_ms: int
    example: LetterId


class Summary:
    """Sums letters up while they are read; memory grows with the kinds, not with the letters."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, str, str, str], Group] = {}
        """By dead-letter topic, source topic, consumer group and error type."""
        self.strangers = 0
        """Records without provenance, which are no dead letters."""
        self.named_strangers: list[LetterId] = []
        """The first few of them."""
        self.refused = 0
        """Letters that do not come from where they say, and are not replayed."""
        self.named_refused: dict[LetterId, str] = {}
        """The first few of them, and why."""
        self.unreadable = 0
        """Letters that clients cannot read."""
        self.named_unreadable: dict[LetterId, str] = {}
        """The first few of them, and why."""

    @property
    def read(self) -> int:
        """How many records were read, be they dead letters or not."""
        return self.letters + self.strangers + self.unreadable

    @property
    def letters(self) -> int:
        """How many letters there are."""
        return sum(group.letters for group in self.groups.values())

    def add(self, letter: Letter, refusal: str | None = None) -> None:
        """Count a letter.

        Args:
            letter: The letter.
            refusal: Why it is not replayed.
        """
        if refusal is not None:
            self.refused += 1
            if len(self.named_refused) < _NAMED:
                self.named_refused[letter.id] = refusal
        found = letter.provenance
        if letter.problem is not None:
            self.unreadable += 1
            if len(self.named_unreadable) < _NAMED:
                self.named_unreadable[letter.id] = letter.problem
            if found is None:
                return
        if found is None:
            self.strangers += 1
            if len(self.named_strangers) < _NAMED:
                self.named_strangers.append(letter.id)
            return
        key = (letter.id.topic, found.topic, found.group, found.exception)
        group = self.groups.get(key)
        if group is None:
            self.groups[key] = Group(
                1, found.attempts, found.failed_at_ms, found.failed_at_ms, letter.id
            )
            return
        group.letters += 1
        group.attempts = max(group.attempts, found.attempts)
        group.oldest_ms = min(group.oldest_ms, found.failed_at_ms)
        if found.failed_at_ms >= group.newest_ms:
            group.newest_ms = found.failed_at_ms
            group.example = letter.id
