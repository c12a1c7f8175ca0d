"""From all letters to those that are meant."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from tracing.dlq.reading import letters

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tracing.dlq.places import Troubles
    from tracing.dlq.reading import Letter
    from tracing.dlq.selection import Selection
    from tracing.kafka.connection import Connection


async def selected(
    connection: Connection,
    topics: list[str],
    selection: Selection,
    timeout_s: float,
    troubles: Troubles,
) -> AsyncGenerator[Letter, None]:
    """Read the letters that are meant.

    Args:
        connection: The cluster.
        topics: Where they are.
        selection: Which ones.
        timeout_s: How long to wait for a broker that sends nothing, in seconds.
        troubles: Where to note partitions that cannot be read.

    Raises:
        LookupError: One that is meant by its id is not there.
    """
    if not topics:
        return
    missing = set(selection.ids)
    reading = letters(connection, topics, timeout_s=timeout_s, troubles=troubles)
    async with aclosing(reading) as found:
        async for letter in found:
            missing.discard(letter.id)
            if letter in selection:
                yield letter
    if missing and not troubles:
        names = ", ".join(str(place) for place in sorted(missing))
        raise LookupError(f"there is no letter {names}; it may have been purged")


async def limited(
    found: AsyncGenerator[Letter, None], limit: int | None
) -> AsyncGenerator[Letter, None]:
    """Stop after so many letters."""
    number = 0
    async with aclosing(found):
        async for letter in found:
            yield letter
            number += 1
            if number == limit:
                return
