"""Replays that are killed -9 while orders arrive, compared with a service that is never replayed.

Two services read the same topics: analytics, whose read models are replayed by processes of their
own, and a twin with a database and a group of its own. Whenever both have read everything, their
read models must be the same, byte for byte.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer

from demo_pipeline.app.bootstrap import Cluster, start_service
from demo_pipeline.app.recording import exporting_providers
from demo_pipeline.broker import create_topics
from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.topics import TOPIC_OF, key_of
from demo_pipeline.runtime.database import database_url
from demo_pipeline.services import ALL_TOPICS, analytics
from demo_pipeline.services.read_models import PROJECTIONS
from tests.chaos.replay_orders import stories
from tests.demo_pipeline.read_model_rows import TABLES, canonical, query
from tests.project.floors import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from demo_pipeline.domain.events import Event

_TWIN: Final = dataclasses.replace(analytics.SERVICE, name="twin")
_QUIET_S: Final = 300.0
_REPLAY_S: Final = 120.0
_POLL_S: Final = 0.005


@dataclass
class ReplayStormResult:
    """The result of a storm.

    Attributes:
        events: Events that were written.
        kills: Replays that were killed.
        resumed: Replays that went on where a killed one was.
        compared: Comparisons of a read model with that of the twin.
        problems: What is wrong.
    """

    events: int = 0
    kills: int = 0
    resumed: int = 0
    compared: int = 0
    problems: list[str] = field(default_factory=list)


async def run_replays(
    servers: str,
    folder: Path,
    *,
    kills: int,
    seed: int,
    history: int = 6000,
    rate: float = 40.0,
    report: Callable[[str], None] = lambda _: None,
) -> ReplayStormResult:
    """Kill replays at random moments under load, resume them, and compare the read models.

    Args:
        servers: The broker, without topics.
        folder: An empty folder for the databases.
        kills: How many replays to kill.
        seed: Chooses the moments and the orders.
        history: Events that are there before the first replay.
        rate: Events per second that are written all the while.
        report: Receives a line for each kill.
    """
    chance, result = random.Random(seed), ReplayStormResult()
    await create_topics(servers, {**ALL_TOPICS, **_dead_letters_of_the_twin()})
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5)
        await stack.enter_async_context(producer)
        events = stories(seed)
        load = _Load(producer, events, rate, result)
        await load.write(history)
        for service in (analytics.SERVICE, _TWIN):
            await stack.enter_async_context(
                start_service(
                    service,
                    Cluster(servers, fetch_max_wait_ms=30, session_timeout_ms=6000),
                    exporting_providers(service.name),
                    database_url=database_url(service.name, folder),
                )
            )
        while result.kills < kills and not result.problems:
            read_model = sorted(PROJECTIONS)[result.kills % len(PROJECTIONS)]
            async with load:
                killed = await _killed(servers, folder, read_model, chance, report)
                result.kills += killed
                done = await _replayed(servers, folder, read_model, result)
                result.resumed += bool(done.get("resumed"))
            await _compare(folder, result)
    return result


class _Load:
    """Writes events during its block."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        events: Iterator[Event],
        rate: float,
        result: ReplayStormResult,
    ) -> None:
        self._producer, self._events, self._rate = producer, events, rate
        self._result, self._codec = result, Codec()
        self._writing: asyncio.Task[None] | None = None

    async def write(self, number: int) -> None:
        """Write some events."""
        sent = []
        for _ in range(number):
            event = next(self._events)
            headers: Any = [*headers_of(event), ("ce_source", b"/storm")]
            value, key = self._codec.encode(event), key_of(event)
            topic = TOPIC_OF[type(event)]
            sent.append(await self._producer.send(topic, value, key=key, headers=headers))
        await asyncio.gather(*sent)
        self._result.events += number

    async def __aenter__(self) -> None:
        self._writing = asyncio.create_task(self._write_on())

    async def __aexit__(self, *_: object) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})

    async def _write_on(self) -> None:
        while True:
            await asyncio.shield(asyncio.create_task(self.write(2)))
            await asyncio.sleep(2 / self._rate)


async def _process(servers: str, folder: Path, read_model: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "demo_pipeline", "replay", "--read-model", read_model,
        "--bootstrap-servers", servers, "--databases", str(folder), "--json",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _killed(
    servers: str,
    folder: Path,
    read_model: str,
    chance: random.Random,
    report: Callable[[str], None],
) -> bool:
    """Start a replay and kill it at a random moment; return whether it was still running."""
    file = folder / "analytics.sqlite3"
    before = _latest(file, read_model)
    share = chance.uniform(0.0, 1.1)
    process = await _process(servers, folder, read_model)
    ended = asyncio.create_task(process.wait())
    while not ended.done() and _share_done(file, read_model, before) < share:
        await asyncio.wait({ended}, timeout=_POLL_S)
    await asyncio.sleep(chance.uniform(0, 0.03))
    running = not ended.done()
    if running:
        process.kill()
    await ended
    report(f"{read_model}: {'killed' if running else 'ended'} after {share:.0%}")
    return running


def _latest(file: Path, read_model: str) -> int:
    return int(_model(file, "latest", read_model))


def _share_done(file: Path, read_model: str, before: int) -> float:
    """Return how much of the log the generation that is being built has; 0 before it begins."""
    if _latest(file, read_model) == before:
        return 0.0
    (done,), (live,) = (
        query(
            file,
            "SELECT coalesce(sum(next_offset), 0) FROM projection_positions"  # noqa: S608 - our own names
            f" WHERE name = '{read_model}' AND generation ="
            f" (SELECT {column} FROM projection_models WHERE name = '{read_model}')",
        )[0]
        for column in ("latest", "active")
    )
    return float(done / live) if live else 0.0


def _model(file: Path, column: str, read_model: str) -> Any:
    return query(file, f"SELECT {column} FROM projection_models WHERE name = '{read_model}'")[0][0]  # noqa: S608 - our own names


async def _replayed(
    servers: str, folder: Path, read_model: str, result: ReplayStormResult
) -> dict[str, Any]:
    """Replay to the end, while orders arrive."""
    process = await _process(servers, folder, read_model)
    try:
        async with asyncio.timeout(_REPLAY_S):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        output, errors = await process.communicate()
    if process.returncode:
        result.problems.append(f"{read_model}: {errors.decode() or process.returncode}")
        return {}
    done: dict[str, Any] = json.loads(output)
    return done


async def _compare(folder: Path, result: ReplayStormResult) -> None:
    """Wait until both services have read everything, and compare their read models."""
    files = [folder / f"{name}.sqlite3" for name in ("analytics", "twin")]
    until = monotonic() + _QUIET_S
    while _positions(files[0]) != _positions(files[1]) or _read(files[1]) < result.events:
        if monotonic() > until:
            result.problems.append(f"the services have not read everything: {_positions(files[0])}")
            return
        await asyncio.sleep(0.1)
    for read_model, table in TABLES.items():
        ours, theirs = (canonical(file, read_model) for file in files)
        result.compared += 1
        if not theirs:
            result.problems.append(f"the twin has no rows in {table}")
        if ours != theirs:
            lines = [set(each.splitlines()) for each in (ours, theirs)]
            result.problems.append(
                f"{read_model} differs after {result.kills} kills: only here "
                f"{sorted(lines[0] - lines[1])[:3]}, only in the twin "
                f"{sorted(lines[1] - lines[0])[:3]}"
            )
        stale = query(files[0], f"SELECT DISTINCT generation FROM {table}")  # noqa: S608 - our own name
        if len(stale) != 1:
            result.problems.append(f"{table} has rows of the generations {stale}")


def _positions(file: Path) -> list[Any]:
    return query(
        file,
        "SELECT p.name, topic, partition, next_offset FROM projection_positions p"
        " JOIN projection_models m ON m.name = p.name AND generation = active ORDER BY 1, 2, 3",
    )


def _read(file: Path) -> int:
    return sum(row[3] for row in _positions(file) if row[0] == "orders")


def _dead_letters_of_the_twin() -> Counter[str]:
    return Counter(f"{topic}.{_TWIN.name}.dlq" for topic in _TWIN.topics)
