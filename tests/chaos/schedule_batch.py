"""Run many schedules on one broker, several at once."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING

from demo_pipeline.broker import EmbeddedBroker, KafkaCluster
from tests.chaos.pausable_broker import PausableBroker
from tests.chaos.schedule_run import ScheduleResult, run
from tests.chaos.schedules import make_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the logs: clients complain about every pause of the broker."""
    loggers = [logging.getLogger(name) for name in ("aiokafka", "tracing")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


async def run_all(
    seeds: Iterable[int],
    *,
    kafka: bool,
    brokers: int = 1,
    at_once: int = 6,
    report: Callable[[ScheduleResult], None] = lambda _: None,
) -> list[ScheduleResult]:
    """Run the schedules of these seeds.

    Args:
        seeds: The seeds.
        kafka: Whether to use Apache Kafka; otherwise the embedded broker.
        brokers: Number of brokers to run.
        at_once: Number of concurrent schedules on each broker. They share its pauses.
        report: Called with each result.
    """
    waiting = iter(seeds)
    results: list[ScheduleResult] = []

    async def work(broker: PausableBroker) -> None:
        for seed in waiting:
            result = await run(make_schedule(seed), broker)
            results.append(result)
            report(result)

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        stack.enter_context(_quiet())
        for _ in range(brokers):
            broker = KafkaCluster() if kafka else EmbeddedBroker()
            pausable = PausableBroker(await stack.enter_async_context(broker))
            for _ in range(at_once):
                tasks.create_task(work(pausable))
    return results
