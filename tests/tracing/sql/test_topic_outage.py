"""A topic that accepts no record: other topics continue, even if it has many keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.tracing.sql.test_relay import relaying
from tracing.testing import eventually

if TYPE_CHECKING:
    from tests.tracing.sql.conftest import Database

KEYS = 1000


class OneTopicDown:
    """Refuses the topic `closed`, either at once or by never answering."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.open = asyncio.Event()
        self.hanging = 0
        self._refused = False
        self._hangs = hangs

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> None:
        await asyncio.sleep(0)
        if topic == "closed" and not self.open.is_set():
            if self._hangs and self._refused:
                self.hanging += 1
                try:
                    await self.open.wait()
                finally:
                    self.hanging -= 1
            else:
                self._refused = True
                raise ConnectionError("closed")
        self.sent.append((topic, key))

    def to(self, topic: str) -> list[bytes]:
        return [key for sent_topic, key in self.sent if sent_topic == topic]


async def add(database: Database, topic: str, number: int) -> None:
    async with database.engine.begin() as connection:
        for key in range(number):
            await database.outbox.add(connection, topic, b"v", key=b"%d" % key)


async def test_a_closed_topic_with_many_keys_does_not_stop_other_topics(database: Database) -> None:
    sender = OneTopicDown()
    await add(database, "closed", KEYS)
    await add(database, "orders", 10)
    async with relaying(database, sender, retry_delay_s=0.2, max_retry_delay_s=0.2) as relay:
        assert await eventually(lambda: len(sender.to("orders")) == 10, timeout_s=20)
        await add(database, "orders", 5)
        relay.wake()
        assert await eventually(lambda: len(sender.to("orders")) == 15, timeout_s=20)
        assert [] == sender.to("closed")

        sender.open.set()
        assert await relay.drain(60)
    assert sorted(b"%d" % key for key in range(KEYS)) == sorted(sender.to("closed"))


async def test_hanging_sends_leave_capacity_for_other_topics(database: Database) -> None:
    sender = OneTopicDown(hangs=True)
    await add(database, "orders", 1)
    await add(database, "closed", 1)
    async with relaying(database, sender, batch=8) as relay:
        # Once the topic has failed, it gets only a share of the batch.
        assert await eventually(lambda: sender.hanging == 1, timeout_s=20)
        await add(database, "closed", 50)
        await add(database, "orders", 20)
        relay.wake()
        assert await eventually(lambda: len(sender.to("orders")) == 21, timeout_s=20)
        assert sender.hanging <= 2

        sender.open.set()
        assert await relay.drain(30)
    assert 51 == len(sender.to("closed"))
