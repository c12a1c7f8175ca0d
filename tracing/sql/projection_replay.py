"""The store of a replay: the generations of one read model in tables of the application."""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from sqlalchemy import delete, func, select, update

from tracing.replay.seams import AlreadyReplayedError, Claim, ReplayError
from tracing.sql.projection import GENERATION
from tracing.sql.projection_rows import copy_rows, remove_rows
from tracing.sql.projections import USER, later
from tracing.sql.tables import MAX_NAME
from tracing.sql.upserts import insert_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tracing.replay.positions import End, LogPartition, Position, Start
    from tracing.replay.seams import AppliedBatch, Rest
    from tracing.sql.projection import Projection
    from tracing.sql.projections import SqlProjections

SILENCE_S: Final = 10.0
"""A replay that has shown no sign of life for so long, in seconds, counts as dead."""

_TOUCH_S: Final = 1.0
_KEPT: Final = "kept: "
_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who replays. The token distinguishes two replays of one process."""

    host: str
    process: int
    token: str

    @classmethod
    def own(cls) -> _Owner:
        return cls(socket.gethostname()[:64], os.getpid(), uuid4().hex)

    @classmethod
    def parse(cls, text: str) -> _Owner:
        host, process, token = text.rsplit(":", 2)
        return cls(host, int(process), token)

    def __str__(self) -> str:
        return f"{self.host}:{self.process}:{self.token}"[-MAX_NAME:]

    def is_certainly_dead(self) -> bool:
        """Return whether it is a process of this machine that has ended."""
        if self.host != socket.gethostname()[:64]:
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


class SqlReplayStore:
    """Rebuilds one read model in the database that serves it: a `ReplayStore`.

    A generation's rows and positions change in the same transactions, so they agree whenever a
    replay is killed. Only one replay works on a read model: it leaves a sign of life with every
    batch, and one that has left none for 10 seconds, or whose process has ended, is taken over. A
    replay that was taken over can change nothing more.

    Args:
        engine: The database; the tables exist.
        read_models: Its read models.
        projection: The one to rebuild, which is declared.
    """

    def __init__(
        self, engine: AsyncEngine, read_models: SqlProjections, projection: Projection
    ) -> None:
        self._engine, self._read_models, self._projection = engine, read_models, projection
        self._owner = _Owner.own()
        self._generation = 0
        self._touched = 0.0

    @property
    def name(self) -> str:
        """The name of the read model."""
        return self._projection.name

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that it is built from."""
        return self._projection.topics

    async def claim(self, start: Start, end: End, *, restart: bool) -> Claim:
        """Become the one that replays the read model; see `ReplayStore`."""
        models, plan = self._read_models.tables.models, f"from {start} to {end}"
        mine = models.c.name == self.name
        async with self._engine.begin() as connection:
            # A write first: on SQLite, nothing changes then between reading and writing.
            await connection.execute(update(models).where(mine).values(name=self.name))
            rows = await connection.execute(select(models).where(mine).with_for_update())
            row = rows.one_or_none()
            if row is None:
                raise ReplayError(f"the database has no read model {self.name}: declare it first")
            self._refuse_second(row)
            generation, latest = row.building, row.latest
            if generation is None or restart or row.plan != plan:
                generation = latest = row.latest + 1
            await connection.execute(
                update(models)
                .where(mine)
                .values(
                    latest=latest,
                    building=generation,
                    plan=plan,
                    owner=str(self._owner),
                    seen_at=_now_ms(),
                )
            )
            self._generation = generation
            positions = await self._read_models.positions(connection, self.name, generation)
            live = await self._read_models.positions(connection, self.name)
            return Claim(generation, positions, live, row.active or None)

    def _refuse_second(self, row: Any) -> None:
        if row.owner is None:
            return
        other, silent_s = _Owner.parse(row.owner), (_now_ms() - row.seen_at) / 1000
        if silent_s >= SILENCE_S or other.is_certainly_dead():
            return
        raise AlreadyReplayedError(
            f"{self.name} is being replayed by process {other.process} on {other.host}, which gave "
            f"its last sign of life {max(0.0, silent_s):.0f} s ago: wait for it, or stop it. One "
            f"that is dead is taken over after {SILENCE_S:.0f} s"
        )

    @asynccontextmanager
    async def _owned(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction that only the replay's owner can commit."""
        models = self._read_models.tables.models
        async with self._engine.begin() as connection:
            owned = await connection.execute(
                update(models)
                .where(models.c.name == self.name, models.c.owner == str(self._owner))
                .values(seen_at=_now_ms())
            )
            if not owned.rowcount:
                raise AlreadyReplayedError(
                    f"another replay of {self.name} has taken over, because this one showed no "
                    f"sign of life for {SILENCE_S:.0f} s"
                )
            self._touched = monotonic()
            yield connection

    async def begin(self, positions: Mapping[LogPartition, Position], *, copy: bool) -> None:
        """Start the generation; see `ReplayStore`. A copy is made in one transaction."""
        async with self._owned() as connection:
            await self._move(connection, positions)
            active = await self._read_models.active_generation(connection, self.name)
            if copy and active is not None:
                for table in self._projection.tables:
                    await copy_rows(connection, table, source=active, target=self._generation)

    async def apply(self, batch: AppliedBatch) -> None:
        """Apply a batch and move the positions, in one transaction."""
        async with self._owned() as connection:
            await self._apply(connection, batch)

    async def _apply(self, connection: AsyncConnection, batch: AppliedBatch) -> None:
        if batch.events:
            await self._projection.apply(connection, self._generation, batch.events)
        await self._move(connection, batch.positions)

    async def _move(
        self, connection: AsyncConnection, positions: Mapping[LogPartition, Position]
    ) -> None:
        table = self._read_models.tables.positions
        insert = insert_on(connection, USER)(table)
        moved = insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={
                "next_offset": insert.excluded.next_offset,
                "event_ms": later(insert.excluded.event_ms, table.c.event_ms),
            },
        )
        rows = [
            {
                "name": self.name,
                GENERATION: self._generation,
                "topic": partition.topic,
                "partition": partition.partition,
                "next_offset": position.next_offset,
                "event_ms": position.event_ms,
            }
            for partition, position in sorted(positions.items())
        ]
        if rows:
            await connection.execute(moved, rows)

    async def touch(self) -> None:
        """Show that the replay is alive."""
        if monotonic() - self._touched >= _TOUCH_S:
            async with self._owned():
                pass

    async def switch(self, rest: Rest) -> bool:
        """Make the generation the active one; see `ReplayStore`."""
        models = self._read_models.tables.models
        try:
            async with self._owned() as connection:
                await self._read_models.exclude_live(connection)
                live = await self._read_models.positions(connection, self.name)
                own = await self._read_models.positions(connection, self.name, self._generation)
                behind = {
                    partition: position.next_offset
                    for partition, position in live.items()
                    if partition not in own or own[partition].next_offset < position.next_offset
                }
                if behind:
                    async for batch in rest(behind):
                        await self._apply(connection, batch)
                await connection.execute(
                    update(models)
                    .where(models.c.name == self.name)
                    .values(active=self._generation, building=None, plan=None)
                )
        except TimeoutError:
            return False
        return True

    async def finish(self) -> None:
        """Keep the generation beside the active one; see `ReplayStore`."""
        models = self._read_models.tables.models
        async with self._owned() as connection:
            await connection.execute(
                update(models).where(models.c.name == self.name).values(plan=_KEPT + models.c.plan)
            )

    async def clean(self) -> int:
        """Delete some rows of generations that are neither active nor being built."""
        models, positions = self._read_models.tables.models, self._read_models.tables.positions
        async with self._owned() as connection:
            model = (
                await connection.execute(select(models).where(models.c.name == self.name))
            ).one()
            old = await connection.scalar(
                select(func.min(positions.c.generation)).where(
                    positions.c.name == self.name,
                    positions.c.generation.not_in([model.active, model.building or model.active]),
                )
            )
            if old is None:
                return 0
            for table in self._projection.tables:
                removed = await remove_rows(connection, table, old, limit=_CHUNK)
                if removed:
                    return removed
            gone = await connection.execute(
                delete(positions).where(
                    positions.c.name == self.name, positions.c.generation == old
                )
            )
            return gone.rowcount

    async def release(self) -> None:
        """Let another replay begin, or take up what this one leaves."""
        models = self._read_models.tables.models
        async with self._engine.begin() as connection:
            await connection.execute(
                update(models)
                .where(models.c.name == self.name, models.c.owner == str(self._owner))
                .values(owner=None, seen_at=None)
            )


def _now_ms() -> int:
    return int(time() * 1000)
