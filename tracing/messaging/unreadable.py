"""Records that the client cannot read, and what is known of them."""

from __future__ import annotations

import copyreg
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRecord:
    """A record that the client cannot read.

    Attributes:
        topic: Its topic.
        partition: Its partition.
        offset: Its offset.
        next_offset: The offset after it; of a batch that cannot be opened, the offset after it.
        timestamp: Unix ms; -1 where it has none.
        key: Its key, as bytes.
        value: Its value, as bytes; where it is not whole, the bytes that no record was found in.
        headers: Its headers; bytes of a name that are not UTF-8 are escaped.
        problem: Why it cannot be read.
        whole: Whether key, value and headers are the record's own.
    """

    topic: str
    partition: int
    offset: int
    next_offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    problem: str
    whole: bool = True

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.topic}[{self.partition}] offset {self.offset}"

    @property
    def position(self) -> Mapping[str, int]:
        """Where it is in its topic, by the names that logs use."""
        return {
            "partition": self.partition,
            "offset": self.offset,
            "next_offset": self.next_offset,
        }

    @property
    def records(self) -> int:
        """How many records there are at most in what cannot be read."""
        return self.next_offset - self.offset

    def skip_command(self, group: str) -> str:
        """Return the command that gets a consumer group past it."""
        return (
            f"python -m tracing dlq skip --group {quote(group)} --topic {quote(self.topic)} "
            f"--partition {self.partition:d} --offset {self.offset:d}"
        )


class UnreadableRecord(Exception):  # noqa: N818 - says what the record is
    """The client cannot read a record, so no handler has seen it.

    `consume(on_unreadable="raise")` ends with it, and it is the error of the dead letter that
    `on_unreadable="dead_letter"` makes.

    Attributes:
        record: What there is of the record.

    Args:
        record: What there is of the record.
        advice: How to get past it.
    """

    # Its public place, which `error.type` and the headers of dead letters name.
    __module__ = "tracing"

    def __init__(self, record: BrokenRecord, advice: str = "") -> None:
        super().__init__(f"{record.place} cannot be read: {record.problem}{advice}")
        self.record = record

    def __reduce__(self) -> tuple[object, ...]:
        """Return what makes a copy: an exception's own way passes the message as the record."""
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


def kept_as(error: BaseException) -> str | None:
    """Return what the dead letter of a record holds that cannot be read; `None` of another."""
    if not isinstance(error, UnreadableRecord):
        return None
    return "record" if error.record.whole else "bytes"
