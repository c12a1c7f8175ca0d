"""What keeps an event from being applied twice, whichever database the effect is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord

Connection_contra = TypeVar("Connection_contra", contravariant=True)
"""A connection of the application's database that is inside a transaction."""


class Inbox(Protocol[Connection_contra]):
    """Remembers which events a consumer group has applied, in the transaction that applies them.

    `tracing.sql.SqlInbox` is one for SQLAlchemy.
    """

    async def accept(self, connection: Connection_contra, record: ConsumerRecord[Any, Any]) -> bool:
        """Note in the connection's transaction that a record's event is being applied.

        Returns:
            Whether to apply it: `False` where that was done before.
        """
