"""A member of a group of KIP-848's protocol, which aiokafka cannot be."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

_TEXT: Final = CompactString("utf-8")
_LEAVES: Final = -1


class _HeartbeatResponse(Response):
    API_KEY = 68
    API_VERSION = 1
    # The assignment, which follows, is not needed.
    SCHEMA = Schema(
        ("throttle_time_ms", Int32), ("error_code", Int16), ("error_message", _TEXT),
        ("member_id", _TEXT), ("member_epoch", Int32),
    )  # fmt: skip


class _HeartbeatRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 68
    API_VERSION = 1
    RESPONSE_TYPE = _HeartbeatResponse
    SCHEMA = Schema(
        ("group_id", _TEXT), ("member_id", _TEXT), ("member_epoch", Int32), ("instance_id", _TEXT),
        ("rack_id", _TEXT), ("rebalance_timeout_ms", Int32),
        ("subscribed_topic_names", CompactArray(_TEXT)), ("subscribed_topic_regex", _TEXT),
        ("server_assignor", _TEXT), ("topic_partitions", CompactArray(Int32)),
        ("tags", TaggedFields),
    )  # fmt: skip


class _Heartbeat(Request[_HeartbeatRequest]):
    API_KEY = 68

    def __init__(self, *values: object) -> None:
        self._values = values

    def build(self, request_struct_class: type[_HeartbeatRequest]) -> _HeartbeatRequest:
        return request_struct_class(*self._values)


@asynccontextmanager
async def newer_member(
    servers: str, group: str, *, topics: Sequence[str] = (), pattern: str | None = None
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Join a group with names of topics or a pattern, and yield a heartbeat. Leave it at the end.

    The member owns what it gets, as far as the broker knows: it acknowledges nothing.
    """
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    member, epoch = str(uuid4()), 0

    async def heartbeat(*, leaves: bool = False) -> None:
        nonlocal epoch
        coordinator = await client.coordinator_lookup(0, group)
        owned: list[int] | None = [] if epoch == 0 else None
        request = _Heartbeat(
            group, member, _LEAVES if leaves else epoch, None, None, 60_000, list(topics), pattern,
            None, owned, {},
        )  # fmt: skip
        answer: Any = await client.send(coordinator, request)
        assert 0 == answer.error_code, answer.error_message
        epoch = answer.member_epoch

    try:
        await heartbeat()
        yield heartbeat
        await heartbeat(leaves=True)
    finally:
        await client.close()
