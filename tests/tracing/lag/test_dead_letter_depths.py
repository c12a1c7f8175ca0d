"""Depth, age and origin of dead-letter topics."""

from __future__ import annotations

import pytest
from aiokafka.structs import TopicPartition

from tests.tracing.dlq import other_systems
from tracing import Provenance
from tracing.lag import DeadLetterDepth, DeadLetterFormats
from tracing.lag.batches import First
from tracing.lag.depth import depths
from tracing.lag.oldest import Place

NAME = "orders.events.payment.dlq"
PARTS = [TopicPartition(NAME, number) for number in range(2)]


def dead_letter(offset: int, timestamp_ms: int, group: str | None = None) -> First:
    headers = []
    if group is not None:
        headers = Provenance(
            topic="orders", partition=0, offset=1, timestamp_ms=1, group=group, exception="E",
            message="", attempts=1, first_failed_at_ms=1, failed_at_ms=1,
        ).headers()  # fmt: skip
    return First(offset, timestamp_ms, headers)


def described(
    ends: tuple[int, int], oldest: dict[int, First | None], topics: set[str] | None = None
) -> DeadLetterDepth:
    starts = dict.fromkeys(PARTS, 2)
    read = {Place(PARTS[number], 2): record for number, record in oldest.items()}
    (depth,) = depths(
        PARTS, starts, dict(zip(PARTS, ends, strict=True)), read,
        topics=topics or set(), suffix=".dlq", now=100.0,
    )  # fmt: skip
    return depth


def test_depth_covers_all_partitions_and_the_oldest_dead_letter_names_topic_and_group() -> None:
    depth = described(
        (5, 4), {0: dead_letter(2, 60_000, "late"), 1: dead_letter(2, 50_000, "early")}
    )

    assert DeadLetterDepth(NAME, "orders", "early", 5, 50.0) == depth


def test_dead_letters_of_other_systems_name_their_topic_and_perhaps_no_group() -> None:
    connect = First(2, 60_000, other_systems.connect("orders"))
    streams = First(2, 60_000, other_systems.streams("orders"))
    nowhere = First(2, 60_000, other_systems.streams(None, -1, -1))

    assert DeadLetterDepth(NAME, "orders", "connect-orders-sink", 3, 40.0) == described(
        (5, 2), {0: connect, 1: None}
    )
    assert DeadLetterDepth(NAME, "orders", None, 3, 40.0) == described(
        (5, 2), {0: streams, 1: None}
    )
    assert DeadLetterDepth(NAME, NAME, None, 3, 40.0) == described((5, 2), {0: nowhere, 1: None})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orders-dlt", ("orders", None)),
        ("orders.DLT", ("orders", None)),
        ("orders-failed-billing", ("orders", "billing")),
        ("gone-dlt", ("gone-dlt", None)),
        ("dlq.orders.x", ("dlq.orders.x", None)),
    ],
)
def test_an_empty_topic_of_another_system_names_its_topic_if_that_exists(
    name: str, expected: tuple[str, str | None]
) -> None:
    tp = TopicPartition(name, 0)
    formats = DeadLetterFormats(["(?P<topic>.+)-failed-(?P<group>.+)"])

    (depth,) = depths(
        [tp], {tp: 0}, {tp: 0}, {}, topics={"orders", "dlq"}, suffix=".dlq", now=1.0,
        formats=formats,
    )  # fmt: skip

    assert expected == (depth.destination, depth.group)


def test_without_dead_letters_topic_and_group_come_from_the_name() -> None:
    topics = {"orders", "orders.events", NAME}

    assert DeadLetterDepth(NAME, "orders.events", "payment", 0, 0.0) == described(
        (2, 2), {}, topics
    )
    assert DeadLetterDepth(NAME, NAME, None, 0, 0.0) == described((2, 2), {})


def test_without_a_readable_record_the_age_is_unknown() -> None:
    assert DeadLetterDepth(NAME, NAME, None, 3, None) == described((5, 2), {})


def test_a_marker_has_age_0_and_a_dead_letter_without_a_time_an_unknown_age() -> None:
    assert 0.0 == described((5, 2), {0: None}).oldest_s
    assert described((5, 2), {0: dead_letter(2, -1)}).oldest_s is None


def test_a_topic_deleted_meanwhile_is_left_out() -> None:
    assert () == depths(PARTS, {}, {}, {}, topics=set(), suffix=".dlq", now=1.0)
