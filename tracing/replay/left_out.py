"""What a replay leaves out, and when that is more than a live consumer can have left out.

A consumer makes a dead letter of a broken record now and then. Where most records of a type cannot
be decoded, the schemas here are probably not those of the consumer: in another registry, the same
ids mean other schemas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracing.core.bounded import BoundedDict
from tracing.core.text import counted, name_in, printable
from tracing.headers.cloudevents import TYPE
from tracing.replay.seams import MostLeftOutError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Fewer say little about the rest.
_ENOUGH: Final = 20
_ADVICE: Final = (
    "the live rows stay as they are. Are the schemas, or the registry, those of the live consumer? "
    "Once they are, the same replay reads these records again. If the live consumer could not "
    "decode them either, accept that (--incomplete)"
)


class _Kind(NamedTuple):
    """Records that are decoded in the same way."""

    topic: str
    type: bytes | None

    @classmethod
    def of(cls, record: Any, present: Mapping[str, object]) -> _Kind:
        name = present.get(TYPE)
        return cls(record.topic, name if isinstance(name, bytes) else None)

    def __str__(self) -> str:
        name = name_in(self.type)
        return self.topic if name is None else f"{name} in {self.topic}"


class _Counts:
    """How many records of a kind were applied and left out, and why the latest was."""

    __slots__ = ("applied", "latest", "left_out")

    def __init__(self) -> None:
        self.applied = self.left_out = 0
        self.latest = ""


class LeftOut:
    """Counts by type what this process applies and leaves out. For one task.

    Attributes:
        is_stored: Whether the generation lacks records that this process left out.
    """

    def __init__(self) -> None:
        self._kinds = BoundedDict[_Kind, _Counts](lambda _: _Counts())
        self._all = _Counts()
        self.is_stored = False

    def applied(self, record: Any, present: Mapping[str, object]) -> None:
        """Count a record that was decoded."""
        self._kinds[_Kind.of(record, present)].applied += 1
        self._all.applied += 1

    def left_out(self, record: Any, present: Mapping[str, object], why: str) -> None:
        """Count a record that is left out."""
        latest = f"{record.topic}[{record.partition}] offset {record.offset}: {printable(why, 200)}"
        for counts in (self._kinds[_Kind.of(record, present)], self._all):
            counts.left_out += 1
            counts.latest = latest

    def stored(self) -> None:
        """Note that the generation is moved past all that was counted."""
        self.is_stored = self._all.left_out > 0

    def refuse_most(self) -> None:
        """Refuse to leave out most records of a type.

        Raises:
            MostLeftOutError: More than half of at least 20 would be left out.
        """
        for kind, counts in self._kinds.items():
            number = counts.applied + counts.left_out
            if number >= _ENOUGH and counts.left_out > counts.applied:
                raise MostLeftOutError(
                    f"{counts.left_out:,} of {number:,} records of {kind} cannot be decoded "
                    f"({counts.latest}): {_ADVICE}"
                )

    def refuse_all(self) -> None:
        """Refuse a read model of nothing.

        Raises:
            MostLeftOutError: Some records were left out, and none was applied.
        """
        if self._all.left_out and not self._all.applied:
            raise MostLeftOutError(
                f"nothing was applied, and {counted(self._all.left_out, 'record')} cannot be "
                f"decoded ({self._all.latest}): {_ADVICE}"
            )
