"""From a Kafka record to a service's handler."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import tracing
from demo_pipeline.codec import decode
from demo_pipeline.events import Rejection
from demo_pipeline.publishing import perform

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiokafka.structs import ConsumerRecord

    from demo_pipeline.publishing import Workplace
    from demo_pipeline.service import Service


def record_handler(
    service: Service, workplace: Workplace
) -> Callable[[ConsumerRecord[Any, Any]], Awaitable[None]]:
    """Make what `tracing.consume` calls with every record that a service reads.

    The handler raises `tracing.Rejected` when the business said no, after having stored that;
    and `msgspec.DecodeError` for a record that is no event although it says so.
    """
    logger = logging.getLogger(f"demo_pipeline.{service.name}")

    async def handle(record: ConsumerRecord[Any, Any]) -> None:
        event = decode(record)
        if event is None:
            logger.info(
                "%s[%d] has a record of a type unknown here", record.topic, record.partition
            )
            return
        message = service.message_for(event)
        if message is None:
            return
        workplace.faults.before(message)
        handler = service.handlers[type(message)]
        events = await perform(handler, message, workplace, record)
        name, order_id = type(message).__name__, event.order.order_id
        if events is None:
            logger.info("%s of order %s was done before", name, order_id)
            return
        for happened in events:
            if isinstance(happened, Rejection):
                logger.info("%s of order %s: %s", name, order_id, happened.reason)
                raise tracing.Rejected(happened.reason)
        logger.info("%s of order %s is done", name, order_id)

    return handle
