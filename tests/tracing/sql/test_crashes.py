"""Crashes of a relay: no record is lost, and first deliveries keep their order."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.util import await_only

from tests.tracing.sql.conftest import Database, opened, sqlite_engine
from tests.tracing.sql.relaying_process import END_OF_RECORD
from tracing import Telemetry
from tracing.sql import OutboxRelay
from tracing.sql.outbox_rows import OutboxRows
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ROOT = Path(__file__).parents[3]
KEYS = (b"a", b"b", b"c", b"d")


class Broker:
    """Stores arrived records as `(key, value, ce_id)`."""

    def __init__(self) -> None:
        self.arrived: list[tuple[bytes | None, bytes, bytes]] = []

    def firsts(self, key: bytes | None) -> list[bytes]:
        """Return the values of a key that an inbox would accept, in order."""
        seen: set[bytes] = set()
        first_values = []
        for its_key, value, event_id in self.arrived:
            if its_key == key and event_id not in seen:
                seen.add(event_id)
                first_values.append(value)
        return first_values

    def take(self, key: bytes | None, value: bytes, headers: Iterable[Any]) -> None:
        """Store a record."""
        self.arrived.append((key, value, dict(headers)["ce_id"]))


class ScriptedProducer:
    """Treats each send as the next step of the script says; sends when the script is over."""

    def __init__(self, broker: Broker, script: Sequence[str]) -> None:
        self.broker = broker
        self.script = list(script)
        self.crashed = asyncio.Event()

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> None:
        step = self.script.pop(0) if self.script else "sent"
        await asyncio.sleep(0)
        if step == "refused":
            raise ConnectionError
        if step == "crash before":
            await self._crash()
        self.broker.take(key, value, headers)
        if step == "crash after":
            await self._crash()
        if step == "unknown":
            raise TimeoutError

    async def _crash(self) -> None:
        self.crashed.set()
        await asyncio.Event().wait()


def relay_of(database: Database, producer: Any) -> OutboxRelay:
    return OutboxRelay(
        database.outbox,
        database.engine,
        producer,
        batch=7,
        poll_interval_s=0.01,
        retry_delay_s=0.001,
        max_retry_delay_s=0.002,
    )


async def crash(running: asyncio.Task[None]) -> None:
    """Cancel a relay without letting it finish anything."""
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def relay_all(database: Database, producer: Any) -> None:
    relay, stop = relay_of(database, producer), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    assert await relay.drain()
    stop.set()
    await running


@pytest.mark.parametrize("step", ["crash before", "crash after"])
async def test_a_crash_while_sending_loses_nothing(database: Database, step: str) -> None:
    broker = Broker()
    await database.add(b"1", b"2", b"3")
    producer = ScriptedProducer(broker, ["sent", step])
    running = asyncio.create_task(relay_of(database, producer).run(asyncio.Event()))
    await producer.crashed.wait()
    await crash(running)

    await relay_all(database, ScriptedProducer(broker, []))

    assert [b"1", b"2", b"3"] == broker.firsts(b"k")
    assert 0 == await database.count("outbox")


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_between_acknowledgement_and_deletion_resends_the_same_event(
    database: Database, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    broker, reached, delete = Broker(), asyncio.Event(), OutboxRows.delete
    killed = asyncio.Event()

    def hang(*args: Any) -> None:
        if after:
            delete(*args)
        reached.set()
        await_only(killed.wait())

    await database.add(b"1", b"2", b"3")
    with monkeypatch.context() as broken:
        broken.setattr(OutboxRows, "delete", hang)
        producer = ScriptedProducer(broker, [])
        running = asyncio.create_task(relay_of(database, producer).run(asyncio.Event()))
        await reached.wait()
        running.cancel()
        await asyncio.sleep(0)
        # On SQLite, a cancelled task waits for its transaction, which is rolled back.
        killed.set()
        with suppress(asyncio.CancelledError):
            await running
    assert 3 == await database.count("outbox")

    await relay_all(database, ScriptedProducer(broker, []))

    assert [b"1", b"2", b"3"] == broker.firsts(b"k")
    assert len(broker.arrived) > 3
    assert 0 == await database.count("outbox")


async def test_nothing_is_lost_when_the_database_fails_between_acknowledgement_and_deletion(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, failures = OutboxRows.delete, [ConnectionError("gone"), TimeoutError()]

    def fail(*args: Any) -> None:
        if failures:
            raise failures.pop()
        delete(*args)

    monkeypatch.setattr(OutboxRows, "delete", fail)
    broker = Broker()
    await database.add(b"1", b"2")
    await relay_all(database, ScriptedProducer(broker, []))

    # The relay remembers what it has sent: it repeats the deletion, not the send.
    assert [b"1", b"2"] == [value for _, value, _ in broker.arrived]
    assert 0 == await database.count("outbox")


STEPS = ("sent", "sent", "refused", "unknown", "crash before", "crash after")


@settings(max_examples=40, deadline=None)
@given(
    keys=st.lists(st.sampled_from([b"a", b"b", None]), min_size=1, max_size=12),
    script=st.lists(st.sampled_from(STEPS), max_size=20),
    late=st.integers(min_value=0, max_value=12),
    handed_over=st.booleans(),
)
def test_first_deliveries_keep_the_order_of_their_key_after_any_failure(
    keys: list[bytes | None], script: list[str], late: int, handed_over: bool
) -> None:
    async def play() -> None:
        with TemporaryDirectory() as folder:
            engine = sqlite_engine(Path(folder) / "test.sqlite3")
            async with opened(engine, Telemetry("orders")) as database:
                await _play(database, keys, script, late, handed_over=handed_over)

    asyncio.run(play())


async def _play(
    database: Database, keys: list[bytes | None], script: list[str], late: int, *, handed_over: bool
) -> None:
    broker = Broker()
    values = [(key, b"%d" % number) for number, key in enumerate(keys)]
    for key, value in values[late:]:
        await database.add(value, key=key)
    # These are added while the relay is at work, after the others.
    late_records = [(key, b"late" + value) for key, value in values[:late]]
    producer = ScriptedProducer(broker, script)
    while True:
        relay, stop = relay_of(database, producer), asyncio.Event()
        running = asyncio.create_task(relay.run(stop))
        for key, value in late_records:
            if handed_over:
                row = database.outbox.row("orders", value, key=key)
                async with database.engine.begin() as connection:
                    records = await connection.run_sync(database.outbox.hand_over_in, [row])
                relay.wake(records)
            else:
                await database.add(value, key=key)
                relay.wake()
        drained = asyncio.create_task(relay.drain())
        crashed = asyncio.create_task(producer.crashed.wait())
        await asyncio.wait({drained, crashed}, return_when=asyncio.FIRST_COMPLETED)
        late_records = []
        if crashed.done():
            await crash(running)
            producer = ScriptedProducer(broker, producer.script)
            assert not await drained
            continue
        crashed.cancel()
        assert await drained
        stop.set()
        await running
        break

    added = values[late:] + [(key, b"late" + value) for key, value in values[:late]]
    for key in (b"a", b"b"):
        assert [value for its, value in added if its == key] == broker.firsts(key)
    assert {value for its, value in added if its is None} == set(broker.firsts(None))
    assert 0 == await database.count("outbox")


@pytest.mark.timeout(300)
async def test_a_relay_that_is_killed_repeatedly_loses_nothing(
    database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "broker"
    log.touch()
    url = database.engine.url.render_as_string(hide_password=False)
    number = 600
    for start in range(0, number, 50):
        async with database.engine.begin() as connection:
            for value in range(start, start + 50):
                key = KEYS[value % len(KEYS)]
                await database.outbox.add(connection, "orders", b"%d" % value, key=key)
    command = [sys.executable, "-m", "tests.tracing.sql.relaying_process", url, str(log)]
    for _ in range(6):
        before, more = arrived(log), random.randint(1, 60)
        process = subprocess.Popen(command, cwd=ROOT)  # noqa: ASYNC220 - starts and returns
        try:
            assert await eventually(
                lines_beyond(log, len(before) + more, process), timeout_s=60, interval_s=0.001
            )
        finally:
            process.kill()
            process.wait()
    last = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    assert 0 == await last.wait()

    broker = Broker()
    broker.arrived = arrived(log)
    for index, key in enumerate(KEYS):
        assert [b"%d" % value for value in range(index, number, len(KEYS))] == broker.firsts(key)
    assert number == len({event_id for _, _, event_id in broker.arrived})
    assert 0 == await database.count("outbox")


def arrived(log: Path) -> list[tuple[bytes | None, bytes, bytes]]:
    """Return the complete records in a broker's file."""
    records: list[tuple[bytes | None, bytes, bytes]] = []
    for line in log.read_bytes().splitlines():
        match line.split(b" "):
            case [key, value, event_id, end] if end == END_OF_RECORD:
                records.append((key, value, event_id))
    return records


def test_a_half_written_record_does_not_count_as_arrived(tmp_path: Path) -> None:
    log = tmp_path / "broker"
    whole = b"a 1 first .\n"
    for half in (b"a", b"a 2", b"a 2 seco", b"a 2 second "):
        log.write_bytes(whole + half + b"\n" + whole + half)
        assert 2 * [(b"a", b"1", b"first")] == arrived(log)


def lines_beyond(log: Path, count: int, process: subprocess.Popen[bytes]) -> Callable[[], bool]:
    """Return a predicate: `count` records have arrived, or the process has ended by itself."""
    return lambda: len(arrived(log)) >= count or process.poll() is not None
