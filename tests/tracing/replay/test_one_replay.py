"""Only one replay works on a read model, and a dead one is taken over."""

from __future__ import annotations

import multiprocessing
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from tests.tracing.replay.doubles import READ_MODELS, Log, LogSource, decode, view
from tracing.replay import AlreadyReplayedError, AppliedBatch, ReplayError, ReplayOptions, replay
from tracing.sql import Projection, SqlReplayStore

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing import Telemetry

MODELS = READ_MODELS.tables.models


async def _owned_by(engine: AsyncEngine, owner: str, *, silent_s: float) -> None:
    async with engine.begin() as connection:
        seen = await connection.scalar(select(MODELS.c.seen_at))
        assert seen is not None
        await connection.execute(
            update(MODELS).values(owner=owner, seen_at=seen - int(silent_s * 1000))
        )


async def test_a_second_replay_of_the_same_read_model_is_refused(new_store: Any) -> None:
    await new_store().claim("beginning", "live", restart=False)

    with pytest.raises(
        AlreadyReplayedError, match=f"orders is being replayed by process {os.getpid()} on "
    ):
        await new_store().claim("beginning", "live", restart=False)


async def test_a_replay_that_has_ended_lets_the_next_one_begin(
    log: Log, new_store: Any, telemetry: Telemetry
) -> None:
    log.add("a=1")
    for _ in range(2):
        await replay(LogSource(log), new_store(), decode, telemetry)


async def test_a_silent_replay_is_taken_over_and_can_change_nothing_more(
    new_store: Any, engine: AsyncEngine
) -> None:
    first, second = new_store(), new_store()
    claim = await first.claim("beginning", "live", restart=False)
    async with engine.connect() as connection:
        owner = await connection.scalar(select(MODELS.c.owner))
    await _owned_by(engine, owner or "", silent_s=9)
    with pytest.raises(AlreadyReplayedError, match="9 s ago"):
        await second.claim("beginning", "live", restart=False)
    await _owned_by(engine, owner or "", silent_s=1)

    assert claim.generation == (await second.claim("beginning", "live", restart=False)).generation

    async def nothing(_: object) -> Any:
        yield AppliedBatch([], [], {})

    for change in (
        first.apply(AppliedBatch([], [("a", 1)], {})),
        first.begin({}, copy=False),
        first.switch(nothing),
        first.finish(),
        first.clean(),
        first.touch(),
    ):
        first._touched = 0.0
        with pytest.raises(AlreadyReplayedError, match="another replay of orders has taken over"):
            await change
    await first.release()
    assert {} == await view(engine, claim.generation)
    await second.apply(AppliedBatch([], [("a", 1)], {}))


async def test_the_replay_of_a_process_that_has_ended_is_taken_over_at_once(
    new_store: Any, engine: AsyncEngine
) -> None:
    ended = multiprocessing.get_context("spawn").Process(target=int)
    ended.start()
    ended.join()
    await new_store().claim("beginning", "live", restart=False)

    await _owned_by(engine, f"{socket.gethostname()[:64]}:{ended.pid}:x", silent_s=0)
    await new_store().claim("beginning", "live", restart=False)
    # Nothing is known of the processes of another machine.
    await _owned_by(engine, f"another-machine:{ended.pid}:x", silent_s=0)
    with pytest.raises(AlreadyReplayedError, match="on another-machine"):
        await new_store().claim("beginning", "live", restart=False)


async def test_a_read_model_that_is_not_declared_is_refused(
    engine: AsyncEngine, log: Log, telemetry: Telemetry
) -> None:
    async def apply(*_: object) -> None: ...

    store = SqlReplayStore(engine, READ_MODELS, Projection("unknown", ("orders",), (), apply))

    with pytest.raises(ReplayError, match="no read model unknown: declare it first"):
        await replay(LogSource(log), store, decode, telemetry, ReplayOptions())
