"""One loop reads a consumer at a time."""

from __future__ import annotations

# The clients that a loop reads, by identity: a client may be wrapped more than once.
_read: set[int] = set()


def begin_reading(client: object) -> None:
    """Be the only loop that reads a client, until `end_reading`.

    Raises:
        RuntimeError: Another loop reads it.
    """
    if id(client) in _read:
        raise RuntimeError(
            "another consume() reads this consumer; a second one would take its records away: "
            "make a second consumer, or raise `concurrency`"
        )
    _read.add(id(client))


def end_reading(client: object) -> None:
    """Let another loop read a client."""
    _read.discard(id(client))
