"""A replay that leaves out more than a live consumer can have left out replaces nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.replay.doubles import Live, Log, LogSource, decode, generations, view
from tracing import UndecodableRecord
from tracing.replay import AtOffset, MostLeftOutError, ReplayOptions, ReplayProgress, replay

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing import Telemetry


class Decoder:
    """Decodes records, except for those of some values, as with another registry."""

    def __init__(self, *undecodable: str) -> None:
        self.undecodable = tuple(each.encode() for each in undecodable)

    async def decode(self, record: Any) -> Any:
        if record.value is not None and record.value.startswith(self.undecodable):
            raise UndecodableRecord("another subject")
        return await decode(record)


def placed(log: Log, prefix: str, number: int, kind: str = "OrderPlaced") -> list[Any]:
    """Add records of a type."""
    headers = [("ce_type", kind.encode())]
    return [log.add(f"{prefix}{n}={n}", headers=headers) for n in range(number)]


@pytest.mark.parametrize("options", [{}, {"start": AtOffset(1)}, {"end": AtOffset(3)}])
async def test_nothing_is_replaced_by_a_read_model_of_nothing_however_often_that_is_tried(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry, options: Any
) -> None:
    await live.handle(*placed(log, "k", 3))
    before = await view(engine)
    other = Decoder("k")

    for _ in range(3):
        with pytest.raises(
            MostLeftOutError,
            match=r"nothing was applied, and \d records cannot be decoded \(orders\[0\] offset 2: "
            r"UndecodableRecord\): the live rows stay .* \(--incomplete\)",
        ):
            await replay(
                LogSource(log), new_store(), other.decode, telemetry, ReplayOptions(**options)
            )
        assert before == await view(engine)
    done = await replay(
        LogSource(log), new_store(), Decoder("none").decode, telemetry, ReplayOptions(**options)
    )

    assert 3 - ("start" in options) == done.applied
    assert before == await view(engine)
    assert before == await view(engine, done.generation)


@pytest.mark.parametrize(
    ("good", "broken", "refused"),
    [(10, 10, False), (9, 10, False), (9, 11, True), (0, 20, True), (1, 18, False)],
)
async def test_more_than_half_of_at_least_twenty_records_of_a_type_are_too_many(
    log: Log,
    live: Live,
    engine: AsyncEngine,
    new_store: Any,
    telemetry: Telemetry,
    good: int,
    broken: int,
    refused: bool,
) -> None:
    await live.handle(
        *placed(log, "other", 100, "OrderShipped"),
        *placed(log, "good", good),
        *placed(log, "broken", broken),
    )
    before = await view(engine)
    decoder = Decoder("broken")

    if not refused:
        done = await replay(LogSource(log), new_store(), decoder.decode, telemetry)
        assert (100 + good, broken) == (done.applied, done.undecodable)
        return
    with pytest.raises(
        MostLeftOutError, match=rf"{broken} of {good + broken} records of OrderPlaced in orders "
    ):
        await replay(LogSource(log), new_store(), decoder.decode, telemetry)
    assert before == await view(engine)
    done = await replay(
        LogSource(log), new_store(), decoder.decode, telemetry, ReplayOptions(incomplete=True)
    )
    assert 100 + good == len(await view(engine))
    assert broken == done.undecodable


async def test_a_read_model_of_nothing_is_possible_if_that_is_asked_for(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*placed(log, "k", 3))

    options = ReplayOptions(incomplete=True)
    await replay(LogSource(log), new_store(), Decoder("k").decode, telemetry, options)

    assert {} == await view(engine)


@pytest.mark.parametrize(("batch_size", "resumed", "generation"), [(10, False, 3), (25, True, 2)])
async def test_the_same_replay_reads_again_what_was_left_out(
    log: Log,
    live: Live,
    engine: AsyncEngine,
    new_store: Any,
    telemetry: Telemetry,
    batch_size: int,
    resumed: bool,
    generation: int,
) -> None:
    await live.handle(*placed(log, "other", 25, "OrderShipped"), *placed(log, "k", 40))
    before = await view(engine)
    options = ReplayOptions(batch_size=batch_size)

    with pytest.raises(MostLeftOutError):
        await replay(LogSource(log), new_store(), Decoder("k").decode, telemetry, options)
    done = await replay(LogSource(log), new_store(), Decoder("none").decode, telemetry, options)

    assert (resumed, generation) == (done.resumed, done.generation)
    assert before == await view(engine)
    assert {generation} == await generations(engine)


async def test_a_resumed_replay_may_find_nothing_but_a_dead_letter(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*placed(log, "k", 3))
    decoder = Decoder("broken")

    def die(progress: ReplayProgress) -> None:
        if progress.applied:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await replay(LogSource(log), new_store(), decoder.decode, telemetry, None, die)
    placed(log, "broken", 1)
    done = await replay(LogSource(log), new_store(), decoder.decode, telemetry)

    assert (True, 0, 1) == (done.resumed, done.applied, done.undecodable)
    assert {"k0": 0, "k1": 1, "k2": 2} == await view(engine)


async def test_what_is_left_out_inside_the_switch_counts_too(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*placed(log, "k", 3))
    store = new_store()
    switch = store.switch

    async def late(rest: Any) -> bool:
        await live.handle(*placed(log, "late", 30))
        return bool(await switch(rest))

    store.switch = late
    with pytest.raises(MostLeftOutError, match="30 of 33 records of OrderPlaced in orders"):
        await replay(LogSource(log), store, Decoder("late").decode, telemetry)
    assert 33 == len(await view(engine))
    done = await replay(LogSource(log), new_store(), Decoder("none").decode, telemetry)

    assert (True, 30) == (done.resumed, done.applied)
    assert 33 == len(await view(engine))
