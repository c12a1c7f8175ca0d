"""The balance of a group on Apache Kafka: what was due was received, skipped, or is pending."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin.records_to_delete import RecordsToDelete

import tracing
from tests.tracing.lag.scene import Scene
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from tracing import Telemetry

pytestmark = [pytest.mark.kafka, pytest.mark.integration]

WRITTEN = 20
DELETED_BEFORE = 5


async def test_what_was_due_was_received_or_skipped_or_is_pending(
    kafka_servers: str, telemetry: Telemetry, capture: Capture
) -> None:
    scene = Scene(kafka_servers)
    await scene.create()
    await scene.produce(*[None] * WRITTEN)
    await scene.commit({0: 0})

    def value(name: str, **labels: str) -> float:
        place = {
            "messaging.destination.name": scene.topic,
            "messaging.consumer.group.name": scene.group,
        }
        found = capture.metric(f"pipeline.consumer.{name}", {**place, **labels})
        assert isinstance(found, int | float)
        return found

    async with scene.monitor(telemetry=telemetry) as monitor:
        await monitor.sweep()
        before = value("committed")
        assert (0, WRITTEN) == (before, value("lag"))

        async with scene.admin() as admin:
            await admin.delete_records({scene.tp(): RecordsToDelete(DELETED_BEFORE)})
        client = AIOKafkaConsumer(
            scene.topic, bootstrap_servers=scene.servers, group_id=scene.group,
            enable_auto_commit=False, auto_offset_reset="earliest", max_poll_records=8,
        )  # fmt: skip
        received = 0
        async with tracing.TracedConsumer(client, telemetry) as consumer:
            while not received:
                batches = (await consumer.getmany(timeout_ms=1000)).values()
                received = sum(map(len, batches))
            await consumer.commit()
            await eventually(lambda: value("skipped", reason="deleted") == DELETED_BEFORE)
        await monitor.sweep()
        due = value("committed") - before + value("lag")

        assert WRITTEN == due == received + DELETED_BEFORE + value("lag")
        assert (8, 7) == (received, value("lag"))

        # An operator sets the group back: it reads what is left again.
        await scene.commit({0: DELETED_BEFORE})
        await monitor.sweep()
        assert (received, WRITTEN - DELETED_BEFORE) == (value("rewound"), value("lag"))
