"""Requests of KIP-447 that aiokafka lacks: offsets of a transaction with the member's generation.

Sources: KIP-447, and Kafka's message definitions `TxnOffsetCommitRequest` (version 3) and
`OffsetFetchRequest` (version 7), both of Kafka 2.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiokafka.structs import TopicPartition

    from tracing.messaging.transactions import Membership

_TEXT = CompactString("utf-8")
_UNKNOWN_EPOCH = -1


class _TxnOffsetCommitResponse(Response):
    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32), ("error_code", Int16), ("tags", TaggedFields)
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _TxnOffsetCommitRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 28
    API_VERSION = 3
    RESPONSE_TYPE = _TxnOffsetCommitResponse
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("group_id", _TEXT),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", _TEXT),
        ("group_instance_id", _TEXT),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _TEXT),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TxnOffsetCommit(Request[_TxnOffsetCommitRequest]):
    """Add a group's offsets to a transaction, as a member of that group.

    Args:
        transactional_id: The producer's.
        producer: The producer's id and epoch.
        membership: The member on whose behalf the records were handled.
        offsets: The next offset of each partition, and its metadata.
    """

    API_KEY = 28

    def __init__(
        self,
        transactional_id: str,
        producer: tuple[int, int],
        membership: Membership,
        offsets: Mapping[TopicPartition, tuple[int, str]],
    ) -> None:
        self._transactional_id = transactional_id
        self._producer = producer
        self._membership = membership
        self._offsets = offsets

    def build(self, request_struct_class: type[_TxnOffsetCommitRequest]) -> _TxnOffsetCommitRequest:
        """Make the request."""
        topics: dict[str, list[tuple[object, ...]]] = {}
        for tp, (offset, metadata) in sorted(self._offsets.items()):
            committed: tuple[object, ...] = (tp.partition, offset, _UNKNOWN_EPOCH, metadata, {})
            topics.setdefault(tp.topic, []).append(committed)
        member = self._membership
        return request_struct_class(
            self._transactional_id,
            member.group,
            *self._producer,
            member.generation,
            member.member_id,
            member.instance_id,
            [(topic, partitions, {}) for topic, partitions in topics.items()],
            {},
        )


class _OffsetFetchResponse(Response):
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _TEXT),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _OffsetFetchRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 9
    API_VERSION = 7
    RESPONSE_TYPE = _OffsetFetchResponse
    SCHEMA = Schema(
        ("group_id", _TEXT),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)
            ),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class StableOffsetFetch(Request[_OffsetFetchRequest]):
    """Read committed offsets; refused while a transaction that changes them is undecided.

    Args:
        group: The consumer group.
        partitions: The partitions to read.
    """

    API_KEY = 9

    def __init__(self, group: str, partitions: Collection[TopicPartition]) -> None:
        self._group = group
        self._partitions = partitions

    def build(self, request_struct_class: type[_OffsetFetchRequest]) -> _OffsetFetchRequest:
        """Make the request."""
        topics: dict[str, list[int]] = {}
        for tp in sorted(self._partitions):
            topics.setdefault(tp.topic, []).append(tp.partition)
        return request_struct_class(
            self._group, [(topic, numbers, {}) for topic, numbers in topics.items()], True, {}
        )
