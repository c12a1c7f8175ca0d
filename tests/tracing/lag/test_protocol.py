"""Protocol messages that aiokafka lacks: encoded and decoded."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import pytest
from aiokafka.protocol.types import CompactArray, Int16, Int32, TaggedFields
from hypothesis import given
from hypothesis import strategies as st

from tracing.kafka.group_protocol import (
    DescribeConsumerGroups,
    DescribeGroups,
    assigned_to,
    subscribed_by,
)
from tracing.kafka.topic_ids import (
    DescribeTopicIds,
    Replication,
    ids_by_topic,
    replication_by_topic,
)

ASSIGNMENT = (
    b"\x00\x00\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01"
    b"\x00\x00\x00\x00"
)


def test_an_assignment_is_decoded() -> None:
    assert [("t", 0), ("t", 1)] == assigned_to(ASSIGNMENT)


def test_the_assignment_of_a_new_member_is_unknown() -> None:
    assert assigned_to(b"") is None


METADATA = b"\x00\x01\x00\x00\x00\x02\x00\x01t\x00\x02uv\x00\x00\x00\x00\x00\x00\x00\x00"


def test_a_subscription_is_decoded() -> None:
    assert ["t", "uv"] == subscribed_by(METADATA)


def test_the_subscription_of_a_member_of_a_rebalancing_group_is_unknown() -> None:
    assert subscribed_by(b"") is None


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_the_subscription_is_unknown(data: bytes) -> None:
    subscribed_by(data)
    subscribed_by(METADATA[: len(data)] + data)


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_the_assignment_is_unknown(data: bytes) -> None:
    assigned_to(data)
    assigned_to(ASSIGNMENT[: len(data)] + data)


def test_several_groups_are_described_in_a_version_that_aiokafka_decodes() -> None:
    request = DescribeGroups(["a", "b"]).prepare({15: (0, 6)})

    assert 2 == request.API_VERSION == request.RESPONSE_TYPE.API_VERSION


def test_groups_of_the_newer_protocol_are_decoded() -> None:
    request: Any = DescribeConsumerGroups(["newer"]).prepare({69: (0, 1)})
    assignment: Any = ([(1, 2, 3, 4, "t", [0, 5], {})], {})
    member: Any = (
        "m", None, None, 3, "client", "host", ["t"], None, assignment, assignment, {},
    )  # fmt: skip
    group: Any = (0, None, "newer", "Stable", 3, 3, "uniform", [member], -1, {})
    answer = request.RESPONSE_TYPE(0, [group], {})

    assert [group] == request.RESPONSE_TYPE.decode(BytesIO(answer.encode())).groups
    assert b"\x02\x06newer\x00\x00" == request.encode()


def test_topic_ids_are_requested_in_the_first_version_that_has_them() -> None:
    request: Any = DescribeTopicIds().prepare({3: (0, 13)})

    assert 10 == request.API_VERSION == request.RESPONSE_TYPE.API_VERSION
    # All topics, as null; nothing is created, no rights are asked for, no tags.
    assert b"\x00\x00\x00\x00\x00" == request.encode()


NODES = CompactArray(Int32)
PARTITIONS = CompactArray(
    ("error_code", Int16), ("partition", Int32), ("leader", Int32), ("leader_epoch", Int32),
    ("replicas", NODES), ("isr", NODES), ("offline_replicas", NODES), ("tags", TaggedFields),
)  # fmt: skip


def test_topic_ids_are_decoded_as_kafka_prints_them() -> None:
    response: Any = DescribeTopicIds().prepare({3: (10, 10)}).RESPONSE_TYPE
    partitions = PARTITIONS.encode([
        (0, number, 1 - 2 * (number < 3), 7, [1, 2], [1, 2][: 1 + (number >= 20)], [2] * number,
         {1: b"\x01t"} if number else {})
        for number in range(200)
    ])  # fmt: skip
    topics: Any = [
        (0, "orders", bytes(range(240, 256)), False, partitions, -1, {}),
        (0, "old", bytes(16), False, PARTITIONS.encode([]), -1, {}),
        (29, "hidden", bytes(range(16)), False, PARTITIONS.encode(None), -1, {}),
    ]
    answer = response(0, [(1, "host", 9092, None, {})], "cluster", 1, topics, -1, {})

    decoded = response.decode(BytesIO(answer.encode()))

    counted = [Replication(20, 3, 1400), Replication(0, 0, 0), Replication(0, 0, 0)]
    assert [
        (*topic[:4], count, *topic[5:]) for topic, count in zip(topics, counted, strict=True)
    ] == (decoded.topics)
    assert {"orders": counted[0], "old": counted[1]} == replication_by_topic(decoded)
    with pytest.raises((ValueError, struct.error)):
        response.decode(BytesIO(answer.encode()[:300]))
    assert {"orders": "8PHy8_T19vf4-fr7_P3-_w"} == ids_by_topic(decoded)
