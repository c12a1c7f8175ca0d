from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from demo_pipeline.app.bootstrap import RunningService
from demo_pipeline.app.ensemble import together, while_all_work
from demo_pipeline.runtime.errors import DemoError
from demo_pipeline.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from sqlalchemy.ext.asyncio import AsyncEngine


@asynccontextmanager
async def _service(
    name: str, events: list[str], reads: Coroutine[Any, Any, None]
) -> AsyncIterator[RunningService]:
    consuming = asyncio.create_task(reads)
    events.append(f"{name} starts")
    yield RunningService(SERVICES[name], cast("AsyncEngine", None), consuming, None)
    consuming.cancel()
    await asyncio.wait({consuming})
    events.append(f"{name} stops")


@asynccontextmanager
async def _broken(running: list[RunningService]) -> AsyncIterator[RunningService]:
    if not running:
        raise DemoError("no database")
    yield running[0]


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def test_services_start_before_the_block_and_stop_after_it() -> None:
    events: list[str] = []
    services = {name: _service(name, events, _for_ever()) for name in ("orders", "payment")}
    async with together(services) as running:
        assert {"orders", "payment"} == running.keys()
        events.append("block")
    assert ["orders starts", "payment starts", "block"] == events[:3]
    assert {"orders stops", "payment stops"} == set(events[3:])


async def test_a_service_that_cannot_start_stops_the_others_and_says_why() -> None:
    events: list[str] = []
    services = {"orders": _service("orders", events, _for_ever()), "payment": _broken([])}
    with pytest.raises(DemoError, match="no database"):
        async with together(services):
            pytest.fail("the block was entered")
    assert ["orders starts", "orders stops"] == events


async def test_a_service_that_fails_ends_the_work_and_is_named() -> None:
    async def fail() -> None:
        raise ValueError("what is this record?\nand more")

    services = {
        "orders": _service("orders", [], _for_ever()),
        "payment": _service("payment", [], fail()),
    }
    async with together(services) as running:
        with pytest.raises(DemoError) as caught:
            await while_all_work(running, _for_ever())
    assert "service payment failed: ValueError: what is this record?" == str(caught.value)


async def test_work_that_is_done_returns_what_it_made() -> None:
    async def work() -> str:
        return "done"

    async with together({"orders": _service("orders", [], _for_ever())}) as running:
        assert "done" == await while_all_work(running, work())
