"""From a Kafka record to a service's handler."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import tracing
from demo_pipeline.domain.events import Rejection
from demo_pipeline.runtime.publishing import perform

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka.structs import ConsumerRecord

    from demo_pipeline.domain.messages import Message
    from demo_pipeline.runtime.service import RecordHandler, Service
    from demo_pipeline.runtime.service_context import ServiceContext


def record_handler(
    service: Service, context: ServiceContext, done: Callable[[Message, int], None] | None = None
) -> RecordHandler:
    """Return the function that `tracing.consume` calls with every record of a service.

    Args:
        service: The service.
        context: What it works with.
        done: Called after the commit of each message, with the timestamp of its record in unix ms;
            not for one that was handled before.

    It raises `tracing.Rejected` after it has stored a rejection, and
    `tracing.UndecodableRecord` for a record that claims to be one of our messages and is not.
    """
    logger = logging.getLogger(f"demo_pipeline.{service.name}")

    async def handle(record: ConsumerRecord[Any, Any]) -> None:
        message = await context.codec.decode(record)
        if message is None:
            logger.info("%s[%d] has a record of an unknown type", record.topic, record.partition)
            return
        handler = service.handlers.get(type(message))
        if handler is None:
            return
        await context.faults.before(message)
        sent = await perform(handler, message, context, record)
        name, order_id = type(message).__name__, message.order.order_id
        if sent is None:
            logger.info("%s of order %s was already done", name, order_id)
            return
        if done is not None:
            done(message, record.timestamp)
        for answer in sent:
            if isinstance(answer, Rejection):
                logger.info("%s of order %s: %s", name, order_id, answer.reason)
                raise tracing.Rejected(answer.reason)
        logger.info("%s of order %s is done", name, order_id)

    return handle
