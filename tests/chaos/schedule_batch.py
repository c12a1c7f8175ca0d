"""Many schedules on one broker, several at once."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING

from demo_pipeline.broker import EmbeddedBroker, KafkaCluster
from tests.chaos.paused import PausableBroker
from tests.chaos.schedule_run import Verdict, run
from tests.chaos.schedules import schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing: what a client makes of a paused broker is no news."""
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
    told: Callable[[Verdict], None] = lambda _: None,
) -> list[Verdict]:
    """Run the schedules of these seeds.

    Args:
        seeds: The seeds.
        kafka: Whether on Apache Kafka; otherwise on the embedded broker.
        brokers: How many brokers to run.
        at_once: How many schedules at a time on each broker. They share its pauses.
        told: Hears of each verdict.
    """
    waiting = iter(seeds)
    verdicts: list[Verdict] = []

    async def work(broker: PausableBroker) -> None:
        for seed in waiting:
            verdict = await run(schedule(seed), broker)
            verdicts.append(verdict)
            told(verdict)

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        stack.enter_context(_quiet())
        for _ in range(brokers):
            broker = KafkaCluster() if kafka else EmbeddedBroker()
            pausable = PausableBroker(await stack.enter_async_context(broker))
            for _ in range(at_once):
                tasks.create_task(work(pausable))
    return verdicts
