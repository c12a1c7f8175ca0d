"""Ids of topics, which distinguish a topic from a deleted one of the same name (KIP-516).

aiokafka asks for metadata in version 5; ids come with version 10. Sources: KIP-516, and Kafka's
message definitions `MetadataRequest` and `MetadataResponse` (version 10, of Kafka 2.8).
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from io import SEEK_CUR
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
    UnsignedVarInt32,
)

if TYPE_CHECKING:
    from io import BytesIO

_BYTES: Final = 16
_NONE: Final = bytes(_BYTES)


class Log(NamedTuple):
    """What identifies a partition's log.

    Attributes:
        topic: The topic's name.
        topic_id: The topic's id, as Kafka's tools print it; `None` if unknown.
        partition: The partition's number.
    """

    topic: str
    topic_id: str | None
    partition: int


class _Uuid(AbstractType[bytes]):
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        value = data.read(_BYTES)
        if len(value) != _BYTES:
            raise ValueError("the answer ends within an id")
        return value


class Replication(NamedTuple):
    """How the partitions of a topic, or of several, are replicated.

    Attributes:
        under_replicated: Number of partitions of which fewer replicas are in sync than there are.
        offline: Number of partitions without a leader.
        elections: Number of leaders that the partitions have had, one after the other.
    """

    under_replicated: int
    offline: int
    elections: int


# Error code, number, leader and leader epoch.
_PARTITION: Final = Struct(">hiii")
# After the replicas and those in sync come those offline.
_NODE_BYTES: Final = 4


class _Partitions(AbstractType[Any]):
    """A topic's partitions, counted: to decode them took nine tenths of the time."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> Replication:
        under_replicated = offline = elections = 0
        for _ in range(_count(data)):
            fields = data.read(_PARTITION.size)
            if len(fields) != _PARTITION.size:
                raise ValueError("the answer ends within a partition")
            _code, _number, leader, epoch = _PARTITION.unpack(fields)
            replicas, in_sync, _offline = (_skipped_nodes(data) for _ in range(3))
            TaggedFields.decode(data)
            under_replicated += in_sync < replicas
            offline += leader < 0
            elections += max(0, epoch)
        return Replication(under_replicated, offline, elections)


def _skipped_nodes(data: BytesIO) -> int:
    count = _count(data)
    data.seek(count * _NODE_BYTES, SEEK_CUR)
    return count


def _count(data: BytesIO) -> int:
    return max(0, UnsignedVarInt32.decode(data) - 1)


_TEXT: Final = CompactString("utf-8")


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16), ("name", _TEXT), ("topic_id", _Uuid),
                ("is_internal", Boolean), ("partitions", _Partitions),
                ("authorized_operations", Int32), ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )  # fmt: skip


class _MetadataRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class DescribeTopicIds(Request[_MetadataRequest]):
    """Ask for the ids of all topics that may be described. Brokers before Kafka 2.8 cannot say."""

    API_KEY = 3

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        """Return the request."""
        return request_struct_class(None, False, False, False, {})


def ids_by_topic(answer: Any) -> dict[str, str]:
    """Return the id of each topic in an answer to `DescribeTopicIds`, as Kafka's tools print it."""
    return {
        name: urlsafe_b64encode(topic_id).rstrip(b"=").decode()
        for code, name, topic_id, *_ in answer.topics
        # Topics of clusters that were upgraded from before Kafka 2.8 may still lack an id.
        if not code and topic_id != _NONE
    }


def replication_by_topic(answer: Any) -> dict[str, Replication]:
    """Return how the partitions of each topic are replicated, from the same answer."""
    return {name: partitions for code, name, _, _, partitions, *_ in answer.topics if not code}
