"""Kill and stop members of an exactly-once loop at critical moments, and check every effect."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from demo_pipeline.broker import create_topics
from tests.chaos.member_process import GROUP, SESSION_MS
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

PARTITIONS = 4
MEMBERS = 3
_BATCH = 40
_ROUND_S = 0.5
_STOPPED_S = SESSION_MS / 1000 * 2.5
_DRAIN_S = 180.0


@dataclass(frozen=True, slots=True)
class ExactlyOnceResult:
    """The result of a run.

    Attributes:
        records: Number of records.
        mishaps: How often members killed or stopped themselves, by signal and moment.
        problems: Missing, doubled or disordered effects, and errors of members that no mishap
            explains.
    """

    records: int
    mishaps: Counter[str]
    problems: tuple[str, ...]


class _Member:
    """One member. It is restarted after a kill and resumed after a stop."""

    def __init__(self, arguments: tuple[str, ...], name: str, seed: int) -> None:
        self.mishaps: Counter[str] = Counter()
        self.errors: list[str] = []
        self._arguments = arguments
        self._name = name
        self._seed = seed
        self._starts = 0
        self._left = {"SIGKILL": 0, "SIGSTOP": 0}

    def allow(self, kills: int, stops: int) -> None:
        """Set the total number of kills and stops."""
        self._left = {"SIGKILL": kills, "SIGSTOP": stops}

    async def run(self, stop: asyncio.Event) -> None:
        """Keep it running until `stop` is set."""
        while not stop.is_set():
            self._starts += 1
            with tempfile.TemporaryFile() as log:
                await self._run_once(stop, log)

    async def _run_once(self, stop: asyncio.Event, log: IO[bytes]) -> None:
        numbers = (self._seed * 1000 + self._starts, *self._left.values())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos.member_process",
            *self._arguments, self._name, *map(str, numbers),
            stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
        ending = asyncio.create_task(self._end_with(stop, process))
        await asyncio.gather(self._watch(process), process.wait())
        ending.cancel()
        log.seek(0)
        errors = log.read()
        # The broker fences a member that was stopped for long; such a member is restarted.
        fenced = b"ProducerFenced" in errors or b"InvalidProducerEpoch" in errors
        if process.returncode not in {0, -signal.SIGKILL} and not fenced:
            self.errors.append(errors.decode()[-3000:])

    async def _watch(self, process: Any) -> None:
        async for line in process.stdout:
            kind, _, moment = line.decode().strip().partition(" ")
            self.mishaps[f"{kind} {moment}"] += 1
            self._left[kind] -= 1
            if kind == "SIGSTOP":
                # Longer than its session, so that its partitions move to another member.
                await asyncio.sleep(_STOPPED_S)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)

    async def _end_with(self, stop: asyncio.Event, process: Any) -> None:
        await stop.wait()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()


async def run_exactly_once(
    servers: str,
    *,
    kills: int,
    stops: int,
    seed: int,
    report: Callable[[str], None] = lambda _: None,
) -> ExactlyOnceResult:
    """Let members kill and stop themselves while records arrive, then check every effect.

    Args:
        servers: The cluster.
        kills: How often members kill themselves, all members together.
        stops: How often they stop themselves for longer than their session.
        seed: Determines the moments.
        report: Called with a line of progress.
    """
    source = f"orders-{uuid4().hex[:8]}"
    target = f"shipments-{source}"
    dead_letter_topic = f"{source}.{GROUP}.dlq"
    await create_topics(servers, dict.fromkeys((source, target, dead_letter_topic), PARTITIONS))
    members = [
        _Member((servers, source, target), f"member-{number}", seed + number)
        for number in range(MEMBERS)
    ]
    for number, member in enumerate(members):
        member.allow(*((total + MEMBERS - 1 - number) // MEMBERS for total in (kills, stops)))
    stop = asyncio.Event()
    running = [asyncio.create_task(member.run(stop)) for member in members]
    records = 0
    deadline = time.monotonic() + _DRAIN_S + 6.0 * (kills + stops)
    try:
        async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
            while sum(sum(member.mishaps.values()) for member in members) < kills + stops:
                for _ in range(_BATCH):
                    await producer.send(source, b"%d" % records, partition=records % PARTITIONS)
                    records += 1
                await producer.flush()
                mishaps = sum(sum(member.mishaps.values()) for member in members)
                report(f"{records} records, {mishaps} mishaps")
                await asyncio.sleep(_ROUND_S)
                if time.monotonic() > deadline or any(member.errors for member in members):
                    break

        async def all_handled() -> bool:
            return await _handled(servers, source) == records

        await eventually(all_handled, timeout_s=max(1.0, deadline - time.monotonic()))
    finally:
        stop.set()
        await asyncio.gather(*running)
    problems = [error for member in members for error in member.errors]
    shipped, dead = await _committed(servers, target), await _committed(servers, dead_letter_topic)
    problems += _discrepancies(records, shipped, dead)
    all_mishaps = sum((member.mishaps for member in members), Counter[str]())
    return ExactlyOnceResult(records, all_mishaps, tuple(problems))


def _discrepancies(records: int, shipped: list[Any], dead: list[Any]) -> list[str]:
    expected = Counter(b"%d" % number for number in range(records))
    actual = Counter(bytes(record.value) for record in (*shipped, *dead))
    problems = []
    if missing := expected - actual:
        problems.append(f"missing: {sorted(missing)[:10]} ({missing.total()})")
    if doubled := actual - expected:
        problems.append(f"more than once: {sorted(doubled)[:10]} ({doubled.total()})")
    poison = {b"%d" % number for number in range(0, records, 25)}
    if poison != {record.value for record in dead}:
        problems.append("the dead letters are not exactly the poison records")
    for partition in range(PARTITIONS):
        order = [int(record.value) for record in shipped if record.partition == partition]
        if order != sorted(order):
            problems.append(f"partition {partition} is out of order")
    return problems


async def _handled(servers: str, source: str) -> int:
    partitions = [TopicPartition(source, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=GROUP, enable_auto_commit=False)
    async with consumer:
        consumer.assign(partitions)
        return sum([await consumer.committed(tp) or 0 for tp in partitions])


async def _committed(servers: str, topic: str) -> list[Any]:
    """Return all committed records of a topic."""
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, auto_offset_reset="earliest", isolation_level="read_committed",
        fetch_max_wait_ms=50,
    )  # fmt: skip
    records: list[Any] = []
    async with consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
    return records
