"""Offsets that a consumer jumps over on Apache Kafka, which deletes records."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin.records_to_delete import RecordsToDelete

import tracing
from tests.tracing.lag.scene import Scene
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tracing import Telemetry

pytestmark = [pytest.mark.kafka, pytest.mark.integration]

REASONS = ("deleted", "reset", "seek")


@pytest.fixture
def scene(kafka_servers: str) -> Scene:
    return Scene(kafka_servers)


@pytest.fixture
def skipped(scene: Scene, capture: Capture) -> Callable[[], dict[str, Any]]:
    """Return what reads the counts by reason."""

    def read() -> dict[str, Any]:
        labels = {
            "messaging.destination.name": scene.topic,
            "messaging.consumer.group.name": scene.group,
        }
        return {
            reason: capture.metric("pipeline.consumer.skipped", {**labels, "reason": reason})
            for reason in REASONS
        }

    return read


def counts(deleted: int = 0, reset: int = 0, seek: int = 0) -> dict[str, Any]:
    return {"deleted": deleted, "reset": reset, "seek": seek}


@asynccontextmanager
async def reading(
    scene: Scene, telemetry: Telemetry, *, reset: str = "earliest", **options: Any
) -> AsyncIterator[tracing.TracedConsumer]:
    consumer = AIOKafkaConsumer(
        scene.topic, bootstrap_servers=scene.servers, group_id=scene.group,
        enable_auto_commit=False, auto_offset_reset=reset, fetch_max_wait_ms=20, **options,
    )  # fmt: skip
    async with tracing.TracedConsumer(consumer, telemetry) as traced:
        yield traced


async def delete_before(scene: Scene, offset: int) -> None:
    async with scene.admin() as admin:
        await admin.delete_records({scene.tp(): RecordsToDelete(offset)})


async def take(consumer: tracing.TracedConsumer, number: int) -> list[int]:
    """Poll until so many records are there; return their offsets."""
    offsets: list[int] = []

    async def polled() -> bool:
        for batch in (await consumer.getmany(timeout_ms=100)).values():
            offsets.extend(record.offset for record in batch)
        return len(offsets) >= number

    await eventually(polled, timeout_s=20)
    return offsets


async def fall_behind(scene: Scene, consumer: tracing.TracedConsumer) -> None:
    """Let records 3 to 7 arrive unread, and 3 to 5 of them be deleted."""
    await scene.produce(*[None] * 3)
    await take(consumer, 3)
    consumer.pause(scene.tp())
    # A fetch that is under way would bring them.
    await asyncio.sleep(0.5)
    await scene.produce(*[None] * 5)
    await delete_before(scene, 6)
    consumer.resume(scene.tp())


async def test_records_deleted_before_a_running_consumer_reads_them(
    scene: Scene, telemetry: Telemetry, skipped: Callable[[], dict[str, Any]]
) -> None:
    await scene.create()
    async with reading(scene, telemetry) as consumer:
        await fall_behind(scene, consumer)

        assert [6, 7] == await take(consumer, 2)
        await eventually(lambda: skipped() == counts(deleted=3))


async def test_a_reset_to_the_end_also_leaves_out_what_is_still_there(
    scene: Scene, telemetry: Telemetry, skipped: Callable[[], dict[str, Any]]
) -> None:
    await scene.create()
    await scene.commit({0: 0})
    async with reading(scene, telemetry, reset="latest") as consumer:
        await fall_behind(scene, consumer)
        await consumer.getmany(timeout_ms=500)
        await scene.produce(None)

        assert [8] == await take(consumer, 1)
        await eventually(lambda: skipped() == counts(deleted=3, reset=2))


@pytest.mark.parametrize(("policy", "left_out"), [("earliest", 0), ("latest", 3)])
async def test_a_group_that_returns_too_late(
    scene: Scene,
    telemetry: Telemetry,
    skipped: Callable[[], dict[str, Any]],
    policy: str,
    left_out: int,
) -> None:
    await scene.create()
    await scene.produce(*[None] * 8)
    await scene.commit({0: 2})
    await delete_before(scene, 5)
    async with reading(scene, telemetry, reset=policy) as consumer:
        # It reads one record after the other, without polls.
        handled = asyncio.create_task(consumer.getone())
        await eventually(lambda: skipped() == counts(deleted=3, reset=left_out))
        handled.cancel()


async def test_a_group_that_returns_in_time_skips_nothing(
    scene: Scene, telemetry: Telemetry, skipped: Callable[[], dict[str, Any]]
) -> None:
    await scene.create()
    await scene.produce(*[None] * 8)
    await scene.commit({0: 5})
    await delete_before(scene, 5)
    async with reading(scene, telemetry) as consumer:
        assert [5, 6, 7] == await take(consumer, 3)
        await asyncio.sleep(0.5)

    assert counts() == skipped()


async def test_a_new_group_at_the_end_skips_nothing(
    scene: Scene, telemetry: Telemetry, skipped: Callable[[], dict[str, Any]]
) -> None:
    await scene.create()
    await scene.produce(*[None] * 8)
    await delete_before(scene, 5)
    async with reading(scene, telemetry, reset="latest") as consumer:
        await consumer.getmany(timeout_ms=500)
        await scene.produce(None)
        assert [8] == await take(consumer, 1)

    assert counts() == skipped()


async def test_markers_and_aborted_records_are_no_loss_even_once_they_are_deleted(
    scene: Scene, telemetry: Telemetry, skipped: Callable[[], dict[str, Any]]
) -> None:
    await scene.create()
    producer = AIOKafkaProducer(bootstrap_servers=scene.servers, transactional_id=scene.name)
    async with (
        reading(scene, telemetry, isolation_level="read_committed") as consumer,
        producer,
    ):
        expected = []
        for round_ in range(4):
            async with producer.transaction():
                await producer.send_and_wait(scene.topic, b"v", partition=0)
            expected.append(4 * round_)
            assert expected[-1:] == await take(consumer, 1)
            with pytest.raises(ZeroDivisionError):
                async with producer.transaction():
                    await producer.send_and_wait(scene.topic, b"aborted", partition=0)
                    raise ZeroDivisionError
            await eventually(partial(_ends_at, consumer, scene, 4 * round_ + 4))
            await delete_before(scene, 4 * round_ + 4)
        await asyncio.sleep(0.5)

    assert counts() == skipped()


async def _ends_at(consumer: tracing.TracedConsumer, scene: Scene, end: int) -> bool:
    return {scene.tp(): end} == await consumer.end_offsets([scene.tp()])


async def test_what_the_application_seeks_past_is_its_own_decision(
    scene: Scene, telemetry: Telemetry, skipped: Callable[[], dict[str, Any]]
) -> None:
    await scene.create()
    await scene.produce(*[None] * 9)
    async with reading(scene, telemetry, max_poll_records=3) as consumer:
        await take(consumer, 3)
        consumer.seek(scene.tp(), 5)
        assert 5 == (await take(consumer, 1))[0]
        await eventually(lambda: skipped() == counts(seek=2))
        consumer.seek(scene.tp(), 0)
        assert 0 == (await take(consumer, 1))[0]
        await consumer.seek_to_end(scene.tp())
        await scene.produce(None)
        assert [9] == await take(consumer, 1)

    assert counts(seek=2 + 6) == skipped()


async def test_consume_counts_like_any_other_reader(
    scene: Scene, telemetry: Telemetry, skipped: Callable[[], dict[str, Any]]
) -> None:
    await scene.create()
    await scene.produce(*[None] * 8)
    await scene.commit({0: 2})
    await delete_before(scene, 5)
    handled = []

    async def handle(record: Any) -> None:
        handled.append(record.offset)

    async with reading(scene, telemetry) as consumer:
        loop = asyncio.create_task(tracing.consume(consumer, handle))
        await eventually(lambda: handled == [5, 6, 7], timeout_s=20)
        loop.cancel()

    assert counts(deleted=3) == skipped()
