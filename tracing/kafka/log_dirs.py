"""The request for the sizes of logs, which aiokafka lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Int64, Schema, String

if TYPE_CHECKING:
    from collections.abc import Sequence


class _DescribeLogDirsResponse(Response):
    API_KEY = 35
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            Array(
                ("error_code", Int16),
                ("log_dir", String("utf-8")),
                (
                    "topics",
                    Array(
                        ("topic", String("utf-8")),
                        (
                            "partitions",
                            Array(
                                ("partition", Int32),
                                ("size", Int64),
                                ("offset_lag", Int64),
                                ("is_future", Boolean),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    )


class _DescribeLogDirsRequest(RequestStruct):
    API_KEY = 35
    API_VERSION = 1
    RESPONSE_TYPE = _DescribeLogDirsResponse
    SCHEMA = Schema(
        (
            "topics",
            Array(("topic", String("utf-8")), ("partitions", Array(Int32))),
        ),
    )


class DescribeLogDirs(Request[_DescribeLogDirsRequest]):
    """Ask a broker for the sizes of its logs (KIP-113).

    A broker that does not allow it answers without results: only version 3 has an error code.

    Args:
        topics: Partition numbers by topic.
    """

    API_KEY = 35

    def __init__(self, topics: Sequence[tuple[str, list[int]]]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_DescribeLogDirsRequest]) -> _DescribeLogDirsRequest:
        """Return the request."""
        return request_struct_class(self._topics)
