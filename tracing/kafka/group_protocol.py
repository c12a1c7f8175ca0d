"""Protocol messages of consumer groups that aiokafka lacks or does not decode."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from aiokafka.protocol.admin import DescribeGroupsRequest_v1, DescribeGroupsRequest_v2
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_Described = DescribeGroupsRequest_v1 | DescribeGroupsRequest_v2


class DescribeGroups(Request[DescribeGroupsRequest_v1 | DescribeGroupsRequest_v2]):
    """Describe classic groups, several at once.

    aiokafka's own request sends version 3 and reads the answer as version 2, which fails from the
    second group on.
    """

    API_KEY = 15

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = list(groups)

    def build(self, request_struct_class: type[_Described]) -> _Described:
        """Return the request in a version."""
        return request_struct_class(self._groups)


_ASSIGNMENT = Schema(
    (
        "topic_partitions",
        CompactArray(
            ("topic_id_high", Int32), ("topic_id_1", Int32), ("topic_id_2", Int32),
            ("topic_id_low", Int32), ("topic_name", CompactString("utf-8")),
            ("partitions", CompactArray(Int32)), ("tags", TaggedFields),
        ),
    ),
    ("tags", TaggedFields),
)  # fmt: skip


class _ConsumerGroupDescribeResponse(Response):
    API_KEY = 69
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            CompactArray(
                ("error_code", Int16), ("error_message", CompactString("utf-8")),
                ("group", CompactString("utf-8")), ("state", CompactString("utf-8")),
                ("group_epoch", Int32), ("assignment_epoch", Int32),
                ("assignor", CompactString("utf-8")),
                (
                    "members",
                    CompactArray(
                        ("member_id", CompactString("utf-8")),
                        ("instance_id", CompactString("utf-8")),
                        ("rack_id", CompactString("utf-8")),
                        ("member_epoch", Int32),
                        ("client_id", CompactString("utf-8")),
                        ("client_host", CompactString("utf-8")),
                        ("subscribed_topics", CompactArray(CompactString("utf-8"))),
                        ("subscribed_regex", CompactString("utf-8")),
                        ("assignment", _ASSIGNMENT), ("target_assignment", _ASSIGNMENT),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32), ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )  # fmt: skip


class _ConsumerGroupDescribeRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 69
    API_VERSION = 0
    RESPONSE_TYPE = _ConsumerGroupDescribeResponse
    SCHEMA = Schema(
        ("groups", CompactArray(CompactString("utf-8"))),
        ("include_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class DescribeConsumerGroups(Request[_ConsumerGroupDescribeRequest]):
    """Describe groups of the consumer protocol of KIP-848, several at once."""

    API_KEY = 69

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = list(groups)

    def build(
        self, request_struct_class: type[_ConsumerGroupDescribeRequest]
    ) -> _ConsumerGroupDescribeRequest:
        """Return the request."""
        return request_struct_class(self._groups, False, {})


_MEMBER_ASSIGNMENT = Schema(
    ("version", Int16),
    ("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))),
)


def assigned_to(assignment: bytes) -> list[tuple[str, int]] | None:
    """Return the partitions assigned to a member of a classic group; `None` if unreadable."""
    try:
        decoded: Any = _MEMBER_ASSIGNMENT.decode(BytesIO(assignment))
        return [(topic, number) for topic, numbers in decoded[1] for number in numbers]
    except Exception:
        # A member may write any bytes, and the coordinator passes them on.
        return None


_MEMBER_METADATA = Schema(("version", Int16), ("topics", Array(String("utf-8"))))


def subscribed_by(metadata: bytes) -> list[str] | None:
    """Return the topics that a member of a classic group subscribes to; `None` if unreadable.

    It is unreadable while the group rebalances: then the coordinator reports none.
    """
    try:
        decoded: Any = _MEMBER_METADATA.decode(BytesIO(metadata))
        return [str(topic) for topic in decoded[1]]
    except Exception:
        # As above.
        return None
