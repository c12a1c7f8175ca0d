"""The ways in which records are read and handled."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import tracing
from tracing import DeadLetters, EventIdentity, Retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.tracing.messaging.flat.oracle_run import World

    _Handle = Callable[[Any], Awaitable[None]]
    _GoesOn = Callable[[], bool]

_BEGIN = b"__begin__"
_END = b"__end__"
_PATIENCE_S = 60
_MOST_ROUNDS = 100
"""Of a scenario with as many records as are generated."""


async def read(world: World) -> None:
    """Read and handle all records of a scenario."""
    left = 2 * len(world.topics)
    number = 0
    rounds = max(_MOST_ROUNDS, 2 * (2 * left + len(world.scenario.records)))

    async def handle(record: Any) -> None:
        nonlocal left, number
        if record.value == _END:
            left -= 1
        elif record.value != _BEGIN:
            number += 1
            await world.handle(record, number - 1)

    def goes_on() -> bool:
        # A loop that the scenario itself has broken would have no end.
        nonlocal rounds
        rounds -= 1
        return left > 0 and rounds > 0

    async with asyncio.timeout(_PATIENCE_S) as world.patience:
        await _READINGS[world.scenario.reading](world, handle, goes_on)


async def _safely(world: World, handled: Awaitable[None]) -> None:
    try:
        await handled
    except BaseException as error:
        if world.patience is not None and world.patience.expired():
            raise
        world.note("handler ended with", type(error), str(error), type(error.__context__))


async def _for(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    """Loops that are left by an exception, and begun again."""

    async def loop() -> None:
        async for record in world.consumer:
            await handle(record)
            if not goes_on():
                break

    while goes_on():
        await _safely(world, loop())
        await asyncio.sleep(0)


async def _break(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    """Loops that are left after two records, within a task of its own each time."""

    async def loop() -> None:
        async for number, record in _numbered(world.consumer):
            await handle(record)
            if number == 2 or not goes_on():
                break

    while goes_on():
        await asyncio.create_task(_safely(world, loop()))


async def _numbered(records: Any) -> Any:
    number = 0
    async for record in records:
        number += 1
        yield number, record


async def _anext(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    records = aiter(world.consumer)
    while goes_on():
        record = await anext(records)
        await _safely(world, handle(record))


async def _wait_for(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    records = aiter(world.consumer)
    while goes_on():
        record = await asyncio.wait_for(anext(records), 5)
        await _safely(world, handle(record))
    del records


async def _getone(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    async def one(record: Any) -> None:
        async with world.consumer.process(record):
            await handle(record)

    while goes_on():
        await _safely(world, one(await world.consumer.getone()))


async def _getmany(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    async def one(record: Any) -> None:
        with world.consumer.process(record):
            await handle(record)

    while goes_on():
        polled = await world.consumer.getmany(timeout_ms=1000, max_records=3)
        for records in polled.values():
            for record in records:
                await _safely(world, one(record))


async def _batch(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    async def all_of(records: list[Any]) -> None:
        async with world.consumer.process_batch(records) as handling:
            for record in records:
                await handle(record)
            world.note("batch", len(handling.records), handling.span.get_span_context())

    while goes_on():
        polled = await world.consumer.getmany(timeout_ms=1000, max_records=5)
        several = [each for records in polled.values() for each in records]
        await _safely(world, all_of(await _without_ends(several, handle)))


async def _without_ends(records: list[Any], handle: _Handle) -> list[Any]:
    """Handle the ends of partitions, which no error may leave out; return the other records."""
    for record in records:
        if record.value == _END:
            await handle(record)
    return [each for each in records if each.value != _END]


async def _batches(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    """A batch of each partition, and one of what the last two polls brought; with duplicates."""

    async def all_of(records: list[Any]) -> None:
        with world.consumer.process_batch(records) as handling:
            for number, record in enumerate(records):
                if number % 3 == 1:
                    handling.duplicate(EventIdentity.of(record))
                await handle(record)
        world.note("batch", len(handling.records), handling.span.is_recording())

    before: list[Any] = []
    while goes_on():
        polled = await world.consumer.getmany(timeout_ms=1000, max_records=4)
        for records in polled.values():
            await _safely(world, all_of(await _without_ends(records, handle)))
        several = [each for records in polled.values() for each in records]
        async with world.consumer.process_batch(iter([*before, *several])) as handling:
            world.note("again", len(handling.records), handling.span.get_span_context())
        before = several


async def _batch_again(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    """A batch that is handled again after an error, with handlings of single records within."""

    async def single(record: Any) -> None:
        async with world.consumer.process(record):
            world.note("within", record.offset)

    while goes_on():
        polled = await world.consumer.getmany(timeout_ms=1000, max_records=6)
        several = [each for records in polled.values() for each in records]
        records = await _without_ends(several, handle)
        handling = world.consumer.process_batch(records)
        for _ in range(2):
            handling.start()
            error: BaseException | None = None
            try:
                for record in records:
                    await handle(record)
                    await single(record)
            except BaseException as raised:
                error = raised
            world.clock.advance(7)
            handling.end(error)
            world.note("batch", type(error), handling.span.get_span_context())
            if error is None:
                break
        # Ended already, and without records.
        handling.end(ValueError("late"))
        with world.consumer.process_batch(()):
            pass


async def _consume(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    """The whole loop, with retries and dead letters where there is a group."""
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        try:
            await handle(record)
        finally:
            if not goes_on():
                stop.set()

    letters = DeadLetters(world.producer) if world.scenario.setup.group else None
    consuming = partial(
        tracing.consume,
        world.consumer,
        handler,
        retry=Retry(attempts=2, delay_s=0.0001, jitter=float),
        dead_letters=letters,
        stop=stop,
        concurrency=1,
        commit_interval_s=60,
    )
    # It ends with what is no failure of a handler, and without dead letters with those, too.
    for _ in range(3):
        if goes_on():
            await _safely(world, consuming())


async def _nested(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    """A loop within the body of another one, over the same topics in another group."""
    async with world.new_consumer("inner") as inner:

        async def loop() -> None:
            async for record in world.consumer:
                await handle(record)
                async for other in inner:
                    world.note("inner", other.topic, other.partition, other.offset)
                    break
                if not goes_on():
                    break

        while goes_on():
            await _safely(world, loop())


async def _concurrent(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    """Several records at once, which begin and end in different orders."""

    async def one(record: Any, number: int) -> None:
        async with world.consumer.process(record):
            for _ in range(number % 3):
                await asyncio.sleep(0)
            await handle(record)
            for _ in range(4 - number % 4):
                await asyncio.sleep(0)

    while goes_on():
        polled = await world.consumer.getmany(timeout_ms=1000, max_records=4)
        records = [each for several in polled.values() for each in several]
        tasks = [
            asyncio.create_task(_safely(world, one(record, number)))
            for number, record in enumerate(records)
        ]
        await asyncio.gather(*tasks)


async def _manual(world: World, handle: _Handle, goes_on: _GoesOn) -> None:
    """The steps of a handling, as the library's own loop takes them."""
    number = 0
    while goes_on():
        record = await world.consumer.getone()
        handling = world.consumer.process(record)
        number += 1
        handling.start()
        error: BaseException | None = None
        try:
            await handle(record)
        except BaseException as raised:
            error = raised
        if number % 2:
            handling.pause()
        world.clock.advance(7)
        if isinstance(error, Exception) and number % 3 == 0:
            handling.dead_lettered()
        handling.end(error)


_READINGS: dict[str, Callable[[World, _Handle, _GoesOn], Awaitable[None]]] = {
    "for": _for,
    "break": _break,
    "anext": _anext,
    "wait_for": _wait_for,
    "getone": _getone,
    "getmany": _getmany,
    "batch": _batch,
    "batches": _batches,
    "batch_again": _batch_again,
    "consume": _consume,
    "nested": _nested,
    "concurrent": _concurrent,
    "manual": _manual,
}
