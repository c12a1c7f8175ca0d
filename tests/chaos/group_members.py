"""Remove the members of a consumer group."""

from __future__ import annotations

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest


async def evict_members(bootstrap_servers: str, group: str) -> None:
    """Remove all members from a group, as an operator does with `kafka-consumer-groups`.

    The next member then need not wait for the sessions of dead members to end.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        coordinator = await admin.find_coordinator(group)
        answers: list[Any] = await admin.describe_consumer_groups([group], coordinator)
        (_, _, _, _, _, members, *_) = answers[0].groups[0]
        for member in members:
            # The client has no method for this, so send the request of the member itself.
            request = LeaveGroupRequest(group, member[0])
            await admin._send_request_to_node(coordinator, request)
    finally:
        await admin.close()
