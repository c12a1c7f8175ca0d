from __future__ import annotations

import pytest

from demo_pipeline.domain.codec import Codec
from tests.outage.story import poison
from tracing import UndecodableRecord
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer


async def test_poison_is_no_record_that_the_shop_skips() -> None:
    broker = InMemoryBroker()
    broker.create_topic("orders.events")
    value, headers = poison(1)
    async with InMemoryProducer(broker) as producer:
        await producer.send_and_wait("orders.events", value, headers=headers)
    async with InMemoryConsumer(
        "orders.events", broker=broker, group_id="g", auto_offset_reset="earliest"
    ) as consumer:
        record = await consumer.getone()
    with pytest.raises(UndecodableRecord):
        await Codec().decode(record)
