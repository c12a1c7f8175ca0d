"""Whether a dead letter was replayed: the marks that a replay leaves, and what they add up to.

Marks lie in a compacted topic of their own, not among the dead letters: there they would count in
depth and age, disturb other readers, and go with the retention that they have to outlive. A header
cannot be added to a record that is written, and a transaction of send and mark would be invisible
to consumers that read uncommitted data, the default.

A replay writes a mark before it sends a dead letter, and a second one once the broker has
acknowledged it. So a mark that only says *begun* means *perhaps*: the replay was killed between, or
is under way. Each run writes to keys of its own, so no run can overwrite what another one says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from tracing.dlq.places import LetterId

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tracing.dlq.reading import Letter

_VERSION: Final = 1
_BEGUN: Final = "begun"
_SENT: Final = "sent"
_LARGEST: Final = 4096


class ReplayState(StrEnum):
    """Whether a dead letter was replayed."""

    NO = "no"
    """No replay has begun to send it."""
    PERHAPS = "perhaps"
    """A replay has begun to send it, and has not recorded the end."""
    YES = "yes"
    """A broker has acknowledged the replayed record."""
    UNKNOWN = "unknown"
    """The marks cannot be read."""


@dataclass(frozen=True, slots=True)
class ReplayStatus:
    """What is known about the replays of a dead letter.

    Attributes:
        state: Whether it was replayed.
        times: Number of acknowledged replays.
        at_ms: When it was last replayed, or when the replay began that has no end; unix ms, 0 if
            unknown.
        edited: Whether the value was edited for one of the acknowledged replays.
    """

    state: ReplayState
    times: int = 0
    at_ms: int = 0
    edited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a run has recorded about a dead letter.

    Attributes:
        run: The run's id.
        sent: Whether a broker has acknowledged the replayed record; if not, the run has only begun.
        at_ms: When it was recorded, unix ms.
        written_ms: The dead letter's own timestamp, unix ms; `None` if it cannot be read. Another
            one at the same place, in a later topic of the same name, has a different one.
        edited: Whether the value was edited.
    """

    run: str
    sent: bool
    at_ms: int
    written_ms: int | None
    edited: bool = False

    def value(self) -> bytes:
        """Return the value of the record that holds the mark."""
        fields = {
            "version": _VERSION,
            "state": _SENT if self.sent else _BEGUN,
            "at_ms": self.at_ms,
            "written_ms": self.written_ms,
            "edited": self.edited,
        }
        return json.dumps(fields).encode()

    @classmethod
    def of_value(cls, run: str, value: bytes) -> Mark:
        """Read a mark; one that cannot be read counts as begun. Never raises."""
        fields: Any = None
        if len(value) <= _LARGEST:
            try:
                fields = json.loads(value)
            except (ValueError, RecursionError):
                fields = None
        if not isinstance(fields, dict) or fields.get("version") != _VERSION:
            return cls(run=run, sent=False, at_ms=0, written_ms=None)
        at_ms, written_ms = fields.get("at_ms"), fields.get("written_ms")
        return cls(
            run=run,
            sent=fields.get("state") == _SENT,
            at_ms=at_ms if isinstance(at_ms, int) else 0,
            written_ms=written_ms if isinstance(written_ms, int) else None,
            edited=fields.get("edited") is True,
        )


def mark_key(dead_letter_id: LetterId, run: str) -> bytes:
    """Return the key of a run's marks for a dead letter."""
    return f"{dead_letter_id} {run}".encode()


def parse_mark_key(key: object) -> tuple[LetterId, str] | None:
    """Return the dead letter and the run of a key; `None` if it is none. Never raises."""
    if not isinstance(key, bytes) or len(key) > _LARGEST:
        return None
    place, _, run = key.decode("utf-8", "replace").rpartition(" ")
    try:
        return (LetterId.parse(place), run) if run else None
    except ValueError:
        return None


class ReplayHistory:
    """Adds marks up. Memory grows with the number of replayed dead letters. For one task.

    Args:
        topics: Keep the marks of these dead-letter topics only; by default of all.

    Attributes:
        problem: Why the marks cannot be read; `None` if they can.
        ignored: Number of records that are no marks.
    """

    def __init__(self, topics: Collection[str] | None = None) -> None:
        self._topics = None if topics is None else frozenset(topics)
        self._marks: dict[LetterId, dict[str, tuple[int, Mark]]] = {}
        self.problem: str | None = None
        self.ignored = 0

    def __bool__(self) -> bool:
        """Return whether any dead letter may have been replayed."""
        return bool(self._marks) or self.problem is not None

    def __iter__(self) -> Iterator[tuple[LetterId, Collection[str]]]:
        """Iterate over the marked dead letters, with their runs."""
        return ((dead_letter_id, runs.keys()) for dead_letter_id, runs in self._marks.items())

    def add(self, key: object, value: bytes | None, offset: int) -> None:
        """Add a record of the topic of the marks. Never raises.

        Args:
            key: Its key.
            value: Its value; `None` withdraws the run's mark.
            offset: Its offset.
        """
        parsed = parse_mark_key(key)
        if parsed is None:
            self.ignored += 1
            return
        dead_letter_id, run = parsed
        if self._topics is not None and dead_letter_id.topic not in self._topics:
            return
        runs = self._marks.setdefault(dead_letter_id, {})
        if value is not None:
            first, _ = runs.get(run, (offset, None))
            runs[run] = (first, Mark.of_value(run, value))
            return
        runs.pop(run, None)
        if not runs:
            del self._marks[dead_letter_id]

    def status(self, dead_letter: Letter) -> ReplayStatus:
        """Return what is known about the replays of a dead letter."""
        if self.problem is not None:
            return ReplayStatus(ReplayState.UNKNOWN)
        marks = [
            mark
            for _, mark in self._marks.get(dead_letter.id, {}).values()
            if mark.written_ms in {None, dead_letter.record.timestamp}
        ]
        sent = [mark for mark in marks if mark.sent]
        if sent:
            edited = any(mark.edited for mark in sent)
            latest_ms = max(mark.at_ms for mark in sent)
            return ReplayStatus(ReplayState.YES, len(sent), latest_ms, edited)
        if marks:
            return ReplayStatus(ReplayState.PERHAPS, at_ms=max(mark.at_ms for mark in marks))
        return ReplayStatus(ReplayState.NO)

    def rivals(self, dead_letter: Letter, run: str, after: int, before: int) -> bool:
        """Return whether another run has marked a dead letter first.

        Args:
            dead_letter: The dead letter.
            run: The run that asks.
            after: Offset from which on the run has not seen marks when it was started.
            before: Offset of the run's own mark.
        """
        return any(
            other != run
            and after <= first < before
            and mark.written_ms in {None, dead_letter.record.timestamp}
            for other, (first, mark) in self._marks.get(dead_letter.id, {}).items()
        )
