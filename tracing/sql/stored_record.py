"""A record in an outbox, and which others it must not overtake."""

from __future__ import annotations

from dataclasses import dataclass

Lane = tuple[str, bytes] | int
"""Records that are sent one after the other: a topic and a key; without a key, one record alone."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is stored.

    Attributes:
        sequence: Its place in the outbox.
        topic: Where it goes.
        key: Its key.
        value: Its value.
        partition: Its partition; `None` where the producer chooses.
        headers: Its headers, packed.
    """

    sequence: int
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    headers: bytes

    @property
    def lane(self) -> Lane:
        """What it keeps its order in."""
        return self.sequence if self.key is None else (self.topic, self.key)
