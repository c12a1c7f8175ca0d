"""Only one relay works on an outbox at a time: a second one is refused or stands by."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import StaticPool
from sqlalchemy.ext.asyncio import create_async_engine

from tests.tracing.sql.conftest import opened, sqlite_engine
from tests.tracing.sql.test_crashes import KEYS, ROOT, Broker, arrived
from tests.tracing.sql.test_relay import relaying, values
from tracing.sql import OutboxRelay, SqlOutbox
from tracing.testing import InMemoryBroker, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.tracing.sql.conftest import Database
    from tracing import Telemetry, TracedProducer


class _Process:
    """A relay in a process of its own, with its output in a file."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path) -> None:
        self.process = process
        self._output = output

    def printed(self, text: str) -> bool:
        return text in self._output.read_text()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def _process(database: Database, log: Path, *, stay: bool) -> AsyncIterator[_Process]:
    url = database.engine.url.render_as_string(hide_password=False)
    output = log.with_name(f"output-{len(list(log.parent.iterdir()))}")
    command = [sys.executable, "-m", "tests.tracing.sql.relaying_process", url, str(log)]
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command, *(["stay"] if stay else []), cwd=ROOT, stdout=file, stderr=subprocess.STDOUT
        )
    started = _Process(process, output)
    try:
        yield started
    finally:
        await started.kill()


async def _add(database: Database, start: int, end: int) -> None:
    async with database.engine.begin() as connection:
        for value in range(start, end):
            await database.outbox.add(
                connection, "orders", b"%d" % value, key=KEYS[value % len(KEYS)]
            )


def _nothing_is_lost_and_order_is_kept(log: Path, number: int) -> None:
    broker = Broker()
    broker.arrived = arrived(log)
    for index, key in enumerate(KEYS):
        assert [b"%d" % value for value in range(index, number, len(KEYS))] == broker.firsts(key)
    assert number == len({event_id for _, _, event_id in broker.arrived})


async def test_a_second_relay_on_an_sqlite_file_is_refused_and_the_first_continues(
    sqlite: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    async with relaying(sqlite, producer) as first:
        assert await first.drain()
        second = OutboxRelay(sqlite.outbox, sqlite.engine, producer)
        with pytest.raises(RuntimeError, match="another relay works on the table outbox of /"):
            await second.run(asyncio.Event())
        assert not await second.drain()
        await sqlite.add(b"v")
        assert await first.drain()
    assert [b"v"] == values(broker)


async def test_a_new_relay_works_after_the_previous_one_has_ended(
    sqlite: Database, broker: InMemoryBroker, producer: TracedProducer
) -> None:
    for value in (b"1", b"2"):
        async with relaying(sqlite, producer) as relay:
            await sqlite.add(value)
            assert await relay.drain()
    assert [b"1", b"2"] == values(broker)


async def test_an_sqlite_file_has_one_lock_under_all_its_names(
    sqlite: Database,
    producer: TracedProducer,
    telemetry: Telemetry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "elsewhere"
    link.symlink_to(tmp_path, target_is_directory=True)
    async with relaying(sqlite, producer) as first:
        assert await first.drain()
        for name in (link / "test.sqlite3", Path("test.sqlite3")):
            async with opened(sqlite_engine(name), telemetry) as same:
                with pytest.raises(RuntimeError, match="another relay works"):
                    await OutboxRelay(same.outbox, same.engine, producer).run(asyncio.Event())


async def test_an_sqlite_table_has_one_lock_in_upper_and_lower_case(
    sqlite: Database, producer: TracedProducer, telemetry: Telemetry
) -> None:
    async with relaying(sqlite, producer) as first:
        assert await first.drain()
        same = SqlOutbox(telemetry, service="orders", table_name="OutBox")
        with pytest.raises(RuntimeError, match="another relay works"):
            async with asyncio.timeout(60):
                await OutboxRelay(same, sqlite.engine, producer).run(asyncio.Event())


async def test_a_table_name_need_not_be_a_valid_file_name(
    sqlite: Database, producer: TracedProducer, telemetry: Telemetry
) -> None:
    outbox = SqlOutbox(telemetry, service="orders", table_name="out/box")
    async with sqlite.engine.begin() as connection:
        await connection.run_sync(outbox.table.create)
    stop = asyncio.Event()
    relay = OutboxRelay(outbox, sqlite.engine, producer)
    relaying = asyncio.create_task(relay.run(stop))
    try:
        assert await relay.drain()
    finally:
        stop.set()
        await relaying


async def test_relays_on_separate_files_work_in_parallel(
    sqlite: Database, producer: TracedProducer, telemetry: Telemetry, tmp_path: Path
) -> None:
    async with (
        opened(sqlite_engine(tmp_path / "other.sqlite3"), telemetry) as other,
        relaying(sqlite, producer) as first,
        relaying(other, producer) as second,
    ):
        assert await first.drain()
        assert await second.drain()


@pytest.mark.parametrize(
    "url",
    ["sqlite+aiosqlite://", "sqlite+aiosqlite:///file:one?mode=memory&cache=shared&uri=true"],
)
async def test_an_in_memory_database_accepts_only_one_relay(
    producer: TracedProducer, telemetry: Telemetry, url: str
) -> None:
    async with opened(create_async_engine(url, poolclass=StaticPool), telemetry) as database:
        async with relaying(database, producer) as first:
            assert await first.drain()
            with pytest.raises(RuntimeError, match="another relay works"):
                await OutboxRelay(database.outbox, database.engine, producer).run(asyncio.Event())
        async with relaying(database, producer) as next_one:
            assert await next_one.drain()


async def test_the_lock_file_has_the_permissions_of_the_database(
    sqlite: Database, producer: TracedProducer, tmp_path: Path
) -> None:
    (tmp_path / "test.sqlite3").chmod(0o600)
    async with relaying(sqlite, producer) as relay:
        assert await relay.drain()
    lock = tmp_path / "test.sqlite3-outbox-relay"
    assert (0o600, 0) == (stat.S_IMODE(lock.stat().st_mode), lock.stat().st_size)


async def test_a_second_process_is_refused_on_sqlite_until_the_first_is_killed(
    sqlite: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "processes"
    folder.mkdir()
    log = folder / "broker"
    log.touch()
    await _add(sqlite, 0, 40)
    async with _process(sqlite, log, stay=True) as first:
        assert await eventually(lambda: len(arrived(log)) >= 40, timeout_s=60)
        async with _process(sqlite, log, stay=True) as second:
            assert 1 == await asyncio.wait_for(second.process.wait(), 60)
            assert second.printed("another relay works on the table outbox of")
        await _add(sqlite, 40, 240)
        assert await eventually(lambda: len(arrived(log)) >= 60, timeout_s=60, interval_s=0.001)
        await first.kill()
    async with _process(sqlite, log, stay=False) as last:
        assert 0 == await asyncio.wait_for(last.process.wait(), 60)
    _nothing_is_lost_and_order_is_kept(log, 240)
    assert 0 == await sqlite.count("outbox")


@pytest.mark.integration
async def test_on_postgresql_a_standby_takes_over_when_the_leader_is_killed(
    postgresql: Database, tmp_path: Path
) -> None:
    log = tmp_path / "broker"
    log.touch()
    await _add(postgresql, 0, 40)
    async with _process(postgresql, log, stay=True) as leader:
        assert await eventually(lambda: len(arrived(log)) >= 40, timeout_s=60)
        async with _process(postgresql, log, stay=False) as standby:
            assert await eventually(lambda: standby.printed("this one stands by"), timeout_s=60)
            await _add(postgresql, 40, 440)
            assert await eventually(lambda: len(arrived(log)) >= 80, timeout_s=60, interval_s=0.001)
            await leader.kill()
            assert 0 == await asyncio.wait_for(standby.process.wait(), 60)
            assert standby.printed("this relay takes over")
    _nothing_is_lost_and_order_is_kept(log, 440)
    assert 0 == await postgresql.count("outbox")


@pytest.mark.integration
async def test_a_standby_logs_once_and_stops_promptly(
    postgresql: Database, producer: TracedProducer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tracing")
    async with relaying(postgresql, producer) as leader:
        assert await leader.drain()
        async with relaying(postgresql, producer) as standby:
            for _ in range(3):
                assert not await standby.drain()
    assert 1 == caplog.text.count("this one stands by")
