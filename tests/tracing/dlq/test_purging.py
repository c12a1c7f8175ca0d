"""What a purge may delete: the beginning of each partition, up to a record that stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.structs import ConsumerRecord, TopicPartition

from tracing import Provenance
from tracing.dlq import Letter, LetterId, purgeable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOPIC = "orders.payment.dlq"
FIRST = TopicPartition(TOPIC, 0)


def dead_letter(
    offset: int, failed_at_ms: int | None, partition: int = 0, written_ms: int = 1
) -> Letter:
    headers = []
    if failed_at_ms is not None:
        headers = Provenance(
            topic="orders", partition=0, offset=offset, timestamp_ms=1, group="payment",
            exception="E", message="", attempts=1, first_failed_at_ms=1, failed_at_ms=failed_at_ms,
        ).headers()  # fmt: skip
    record = ConsumerRecord[Any, Any](
        TOPIC, partition, offset, written_ms, 0, b"k", b"v", None, 1, 1, headers  # type: ignore[arg-type]  # as aiokafka
    )  # fmt: skip
    return Letter.of(record)


async def stream(*dead_letters: Letter) -> AsyncIterator[Letter]:
    for dead_letter in dead_letters:
        yield dead_letter


async def test_everything_after_the_first_kept_record_is_kept_and_counted() -> None:
    plan = await purgeable(
        stream(dead_letter(0, 10), dead_letter(1, 99), dead_letter(2, 10)), before_ms=50
    )

    assert {FIRST: 1} == plan.before
    assert (1, 2, 1) == (plan.letters, plan.kept, plan.blocked)


async def test_up_to_a_dead_letter_means_its_partition_alone() -> None:
    lost = (
        dead_letter(0, 10),
        dead_letter(1, 10),
        dead_letter(2, 10),
        dead_letter(0, 10, partition=1),
    )

    plan = await purgeable(stream(*lost), up_to=[LetterId(TOPIC, 0, 1), LetterId(TOPIC, 0, 0)])

    assert {FIRST: 2} == plan.before
    assert (2, 2, 0) == (plan.letters, plan.kept, plan.blocked)


async def test_a_dead_letter_without_a_time_of_failure_is_as_old_as_its_record() -> None:
    recent = dead_letter(0, 0, written_ms=100)

    plan = await purgeable(stream(recent), before_ms=50)

    assert ({}, 1) == (plan.before, plan.kept)


async def test_records_without_provenance_are_counted_separately() -> None:
    plan = await purgeable(stream(dead_letter(0, None), dead_letter(1, 10)))

    assert {FIRST: 2} == plan.before
    assert (2, 1) == (plan.letters, plan.not_dead_letters)
