"""What a purge may delete: of each partition its beginning, and nothing that is to stay."""

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


async def given(*found: Letter) -> AsyncIterator[Letter]:
    for one in found:
        yield one


async def test_what_comes_after_the_first_that_stays_stays_too_and_is_told() -> None:
    found = await purgeable(
        given(dead_letter(0, 10), dead_letter(1, 99), dead_letter(2, 10)), before_ms=50
    )

    assert {FIRST: 1} == found.before
    assert (1, 2, 1) == (found.letters, found.kept, found.blocked)


async def test_up_to_a_letter_means_its_partition_alone() -> None:
    lost = (
        dead_letter(0, 10),
        dead_letter(1, 10),
        dead_letter(2, 10),
        dead_letter(0, 10, partition=1),
    )

    found = await purgeable(given(*lost), up_to=[LetterId(TOPIC, 0, 1), LetterId(TOPIC, 0, 0)])

    assert {FIRST: 2} == found.before
    assert (2, 2, 0) == (found.letters, found.kept, found.blocked)


async def test_a_letter_whose_failure_has_no_time_is_as_old_as_its_record() -> None:
    recent = dead_letter(0, 0, written_ms=100)

    found = await purgeable(given(recent), before_ms=50)

    assert ({}, 1) == (found.before, found.kept)


async def test_records_without_provenance_are_counted_apart() -> None:
    found = await purgeable(given(dead_letter(0, None), dead_letter(1, 10)))

    assert {FIRST: 2} == found.before
    assert (2, 1) == (found.letters, found.not_dead_letters)
