from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, update

from tests.tracing.replay.doubles import (
    READ_MODELS,
    VIEW,
    Live,
    Log,
    LogSource,
    decode,
    generations,
    view,
)
from tracing import UnknownSchema, Unprocessable
from tracing.headers.dead_letter import Replay
from tracing.replay import (
    AtOffset,
    AtTime,
    Position,
    ReplayError,
    ReplayOptions,
    ReplayProgress,
    replay,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing import Telemetry
    from tracing.sql import SqlReplayStore

SMALL = ReplayOptions(batch_size=3)


class KilledError(BaseException):
    """Stands for the death of the process."""


async def test_a_read_model_is_rebuilt_from_the_beginning_and_replaces_the_live_one(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*[log.add(f"k{n % 5}={n}", n % 2) for n in range(20)])
    before = await view(engine)
    async with engine.begin() as connection:
        await connection.execute(update(VIEW).values(value=-1))
    seen: list[ReplayProgress] = []

    done = await replay(LogSource(log), new_store(), decode, telemetry, SMALL, seen.append)

    assert before == await view(engine)
    assert {2} == await generations(engine)
    assert (20, 0, "done", 2, False) == (
        done.applied, done.remaining, done.phase, done.generation, done.resumed,
    )  # fmt: skip
    remaining = [each.remaining for each in seen if each.phase == "replaying"]
    assert 20 == remaining[0]
    assert sorted(remaining, reverse=True) == remaining
    assert done.rate > 0
    assert 0 == done.left_s


async def test_the_live_consumer_goes_on_behind_the_switch_without_a_gap_or_a_second_time(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    records = [log.add(f"k{n}={n}") for n in range(10)]
    await live.handle(*records[:4])

    await replay(LogSource(log), new_store(), decode, telemetry)
    async with engine.begin() as connection:
        await connection.execute(delete(VIEW).where(VIEW.c.key == "k5"))
    await live.handle(*records[4:], log.add("new=1"))

    # k5 was applied by the replay, and is not applied again.
    assert {"new": 1, **{f"k{n}": n for n in range(10) if n != 5}} == await view(engine)
    async with engine.connect() as connection:
        assert {("orders", 0): Position(11, 1010)} == await READ_MODELS.positions(
            connection, "orders"
        )


async def test_records_that_arrive_and_are_handled_during_the_replay_are_in_the_result(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*[log.add(f"k{n}={n}", n % 3) for n in range(30)])
    stop, number = asyncio.Event(), 100

    async def load() -> None:
        nonlocal number
        while not stop.is_set():
            number += 1
            await live.handle(log.add(f"k{number % 40}={number}", number % 3))
            await asyncio.sleep(0)

    loading = asyncio.create_task(load())
    await replay(LogSource(log), new_store(), decode, telemetry, SMALL)
    stop.set()
    await loading

    expected: dict[str, int] = {}
    for record in (each for records in log.partitions.values() for each in records):
        key, value = await decode(record) or ("", 0)
        expected[key] = max(value, expected.get(key, 0))
    assert dict(sorted(expected.items())) == await view(engine)


async def test_what_the_live_consumer_has_beyond_the_replay_is_applied_inside_the_switch(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*[log.add(f"k{n}={n}") for n in range(5)])
    store = new_store()
    switch = store.switch

    async def late(rest: Any) -> bool:
        await live.handle(log.add("late=1"))
        return bool(await switch(rest))

    store.switch = late
    await replay(LogSource(log), store, decode, telemetry)

    assert {"late": 1, **{f"k{n}": n for n in range(5)}} == await view(engine)


async def test_a_switch_that_takes_too_long_changes_nothing_and_is_tried_again(
    log: Log,
    live: Live,
    engine: AsyncEngine,
    new_store: Any,
    telemetry: Telemetry,
) -> None:
    await live.handle(*[log.add(f"k{n}={n}", n % 2) for n in range(6)])
    store = new_store()
    switched: list[bool] = []
    switch, apply = store.switch, store._apply

    async def late(rest: Any) -> bool:
        if not switched:
            # The log gives one of two records in time.
            await live.handle(log.add("late-0=1", 0), log.add("late-1=1", 1))
            store._apply = stall
        switched.append(await switch(rest))
        assert switched[-1] or not any(key.startswith("late") for key in await view(engine, 2))
        return bool(switched[-1])

    batches = 0

    async def stall(connection: Any, batch: Any) -> None:
        nonlocal batches
        batches += 1
        await apply(connection, batch)
        if batches == 2:
            store._apply = apply
            raise TimeoutError

    store.switch = late
    await replay(LogSource(log), store, decode, telemetry, ReplayOptions(batch_size=1))

    assert [False, True] == switched
    assert {"late-0", "late-1", *(f"k{n}" for n in range(6))} == (await view(engine)).keys()


async def test_a_partition_that_is_added_during_the_replay_is_read_too(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(log.add("a=1", 0))
    store = new_store()
    begin = store.begin

    async def add_partition(*arguments: Any, **options: Any) -> None:
        await begin(*arguments, **options)
        await live.handle(log.add("b=1", 7))

    store.begin = add_partition
    await replay(LogSource(log), store, decode, telemetry)

    assert {"a": 1, "b": 1} == await view(engine)


async def test_a_replay_that_waits_for_records_shows_that_it_is_alive(
    log: Log, live: Live, new_store: Any, telemetry: Telemetry
) -> None:
    log.add("a=1")
    waits, touched = 3, 0
    store = new_store()

    class Slow(LogSource):
        async def read(self, limit: int, wait_s: float) -> Any:
            nonlocal waits
            waits -= 1
            return await super().read(limit, wait_s) if waits < 0 else []

    async def touch() -> None:
        nonlocal touched
        touched += 1

    store.touch = touch
    await replay(Slow(log), store, decode, telemetry)

    assert 3 == touched


async def test_a_replay_that_is_killed_anywhere_resumes_where_it_was(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*[log.add(f"k{n}={n}", n % 2) for n in range(30)])
    expected = await view(engine)
    applied = 0
    for reads in range(1, 40):
        left = reads % 4

        def die() -> None:
            nonlocal left
            if left == 0:
                raise KilledError
            left -= 1

        try:
            done = await replay(LogSource(log, die), new_store(), decode, telemetry, SMALL)
        except KilledError:
            assert expected == await view(engine)
            continue
        assert done.resumed
        applied = done.applied
        break

    assert applied < 30
    assert expected == await view(engine)
    assert {2} == await generations(engine)


async def test_another_start_or_a_restart_does_not_take_up_what_was_interrupted(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*[log.add(f"k{n}={n}") for n in range(9)])

    async def interrupted(options: ReplayOptions) -> None:
        def die(progress: ReplayProgress) -> None:
            if progress.applied:
                raise KilledError

        with pytest.raises(KilledError):
            await replay(LogSource(log), new_store(), decode, telemetry, options, die)

    await interrupted(SMALL)
    await interrupted(ReplayOptions(batch_size=3, restart=True))
    await interrupted(ReplayOptions(batch_size=3, start=AtOffset(1)))
    done = await replay(LogSource(log), new_store(), decode, telemetry, SMALL)

    assert (5, 9, False) == (done.generation, done.applied, done.resumed)
    assert {5} == await generations(engine)


async def test_what_the_live_consumer_could_not_decode_is_left_out_and_counted(
    log: Log, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    for value in ("a=1", "broken", None, "b=2"):
        log.add(value)

    async def strict(record: Any) -> Any:
        if record.value == b"broken":
            raise Unprocessable("no number")
        return await decode(record)

    done = await replay(LogSource(log), new_store(), strict, telemetry)

    assert (2, 1, 1) == (done.applied, done.undecodable, done.ignored)
    assert {"a": 1, "b": 2} == await view(engine)


async def test_a_schema_that_is_unknown_here_ends_the_replay_unless_it_may_be_left_out(
    log: Log, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    for value in ("a=1", "b=2"):
        log.add(value)

    async def with_another_registry(record: Any) -> Any:
        if record.value == b"b=2":
            raise UnknownSchema("id 7")
        return await decode(record)

    async def attempt(options: ReplayOptions) -> ReplayProgress:
        return await replay(LogSource(log), new_store(), with_another_registry, telemetry, options)

    before = await generations(engine)
    with pytest.raises(ReplayError, match="cannot be decoded now"):
        await attempt(ReplayOptions())
    stopped = await generations(engine)
    done = await attempt(ReplayOptions(undecodable=lambda error: isinstance(error, Unprocessable)))

    assert before == stopped
    assert (1, 1) == (done.applied, done.undecodable)
    assert {"a": 1} == await view(engine)


@pytest.mark.parametrize(
    ("start", "end"), [(AtOffset(5), AtOffset(3)), (AtTime(5000), AtTime(3000))]
)
def test_an_end_before_the_start_is_refused(start: Any, end: Any) -> None:
    with pytest.raises(ValueError, match=r"the end, .*, is before the start, "):
        ReplayOptions(start=start, end=end)
    ReplayOptions(start=start, end=start)


async def test_any_other_failure_ends_the_replay_and_it_resumes_there(
    log: Log, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    for n in range(9):
        log.add(f"k{n}={n}")
    registry_is_up = False

    async def decode_with_registry(record: Any) -> Any:
        if record.offset == 7 and not registry_is_up:
            raise ConnectionError
        return await decode(record)

    with pytest.raises(ReplayError, match=r"orders\[0\] offset 7 cannot be decoded now"):
        await replay(LogSource(log), new_store(), decode_with_registry, telemetry, SMALL)
    registry_is_up = True
    done = await replay(LogSource(log), new_store(), decode_with_registry, telemetry, SMALL)

    assert (True, 3) == (done.resumed, done.applied)
    assert 9 == len(await view(engine))


async def test_dead_letters_that_were_replayed_for_other_groups_are_left_out(
    log: Log, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    log.add("a=1")
    for group in ("orders", "analytics"):
        marks = Replay(group=group, id="orders/0/0").headers()
        log.add(f"{group}=1", headers=marks)

    done = await replay(
        LogSource(log), new_store(), decode, telemetry, ReplayOptions(group="analytics")
    )

    assert {"a": 1, "analytics": 1} == await view(engine)
    assert 1 == done.skipped


async def test_from_a_time_on_a_copy_of_the_live_rows_gets_the_records_once_more(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*[log.add(f"k{n}={n}") for n in range(6)])
    async with engine.begin() as connection:
        await connection.execute(delete(VIEW).where(VIEW.c.key.in_(["k1", "k4"])))

    done = await replay(
        LogSource(log), new_store(), decode, telemetry, ReplayOptions(start=AtTime(1003))
    )

    assert 3 == done.applied
    assert {"k0", "k2", "k3", "k4", "k5"} == (await view(engine)).keys()


async def test_a_copy_starts_no_later_than_the_live_consumer_is(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    records = [log.add(f"k{n}={n}") for n in range(6)]
    await live.handle(*records[:2])

    await replay(LogSource(log), new_store(), decode, telemetry, ReplayOptions(start=AtOffset(5)))

    assert 6 == len(await view(engine))


async def test_with_an_end_the_generation_stays_beside_the_live_one_until_the_next_replay(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*[log.add(f"k{n}={n}", n % 2) for n in range(10)])

    options = ReplayOptions(end=AtTime(1003), batch_size=3)
    done = await replay(LogSource(log), new_store(), decode, telemetry, options)

    assert {f"k{n}": n for n in range(6)} == await view(engine, done.generation)
    assert 10 == len(await view(engine))
    again = await replay(LogSource(log), new_store(), decode, telemetry, options)
    assert (3, False) == (again.generation, again.resumed)
    await replay(LogSource(log), new_store(), decode, telemetry)
    assert {4} == await generations(engine)


async def test_a_partition_that_is_at_its_end_is_read_no_further(
    log: Log, new_store: Any, telemetry: Telemetry
) -> None:
    for n in range(40):
        log.add(f"k{n}={n}", n // 20)
    read: list[int] = []

    class Counting(LogSource):
        async def read(self, limit: int, wait_s: float) -> Any:
            records = await super().read(limit, wait_s)
            read.extend(record.partition for record in records)
            return records

    options = ReplayOptions(end=AtOffset(6), batch_size=1)
    await replay(Counting(log), new_store(), decode, telemetry, options)

    assert [*[0] * 6, *[1] * 6] == read


async def test_a_log_that_lost_its_first_records_is_refused_unless_that_is_accepted(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*[log.add(f"k{n}={n}") for n in range(6)])
    (partition,) = log.partitions
    log.begins[partition] = 4
    log.partitions[partition] = log.partitions[partition][4:]

    with pytest.raises(ReplayError, match=r"no longer holds its first records \(orders\[0\] at 4"):
        await replay(LogSource(log), new_store(), decode, telemetry)
    assert 6 == len(await view(engine))
    await replay(LogSource(log), new_store(), decode, telemetry, ReplayOptions(incomplete=True))
    assert {"k4": 4, "k5": 5} == await view(engine)


async def test_another_log_than_the_one_that_the_live_consumer_reads_is_refused(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    await live.handle(*[log.add(f"k{n}={n}") for n in range(6)])
    other = Log()
    other.add("x=1")

    with pytest.raises(ReplayError, match=r"orders\[0\] ends at offset 1, .* the right cluster\?"):
        await replay(LogSource(other), new_store(), decode, telemetry)
    assert 6 == len(await view(engine))
    await replay(LogSource(other), new_store(), decode, telemetry, ReplayOptions(incomplete=True))
    assert {"x": 1} == await view(engine)


async def test_a_new_read_model_is_built_from_history_up_to_where_the_consumer_is(
    log: Log, live: Live, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    models = READ_MODELS.tables.models
    async with engine.begin() as connection:
        await connection.execute(delete(models))
        await READ_MODELS.declare(connection, ["orders"], fresh=False)
    await live.handle(*[log.add(f"k{n}={n}") for n in range(6)])
    assert {} == await view(engine)
    with pytest.raises(ReplayError, match="was never built"):
        await replay(
            LogSource(log), new_store(), decode, telemetry, ReplayOptions(start=AtOffset(1))
        )

    await replay(LogSource(log), new_store(), decode, telemetry)
    await live.handle(log.add("more=1"))

    assert {"more": 1, **{f"k{n}": n for n in range(6)}} == await view(engine)


async def test_offsets_that_a_log_leaves_out_do_not_stop_a_replay(
    log: Log, engine: AsyncEngine, new_store: Any, telemetry: Telemetry
) -> None:
    records = [log.add(f"k{n}={n}") for n in range(6)]
    (partition,) = log.partitions
    # The end of the log is behind a record that compaction or an aborted transaction took away.
    log.partitions[partition] = [records[0], records[3]]

    class Gaps(LogSource):
        async def ranges(self, topics: Any) -> Any:
            return {
                each: type(held)(held.begin, 6)
                for each, held in (await super().ranges(topics)).items()
            }

        async def positions(self) -> Any:
            return dict.fromkeys(await super().positions(), 6)

    await replay(Gaps(log), new_store(), decode, telemetry)

    assert {"k0": 0, "k3": 3} == await view(engine)


async def test_a_silent_log_ends_the_replay(
    log: Log, new_store: Callable[[], SqlReplayStore], telemetry: Telemetry
) -> None:
    log.add("a=1")

    class Silent(LogSource):
        async def read(self, limit: int, wait_s: float) -> Any:
            await asyncio.sleep(0)
            return []

    with pytest.raises(TimeoutError, match=r"sent no record for 0\.01 s"):
        await replay(Silent(log), new_store(), decode, telemetry, ReplayOptions(silence_s=0.01))


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"silence_s": 0}])
def test_options_are_checked(options: Any) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        ReplayOptions(**options)
