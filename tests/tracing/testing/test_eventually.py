"""Waiting until a condition is true."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from tracing.testing import eventually


async def test_the_first_truthy_value_is_returned() -> None:
    values = iter([0, None, "", "found", "too far"])

    assert "found" == await eventually(lambda: next(values), interval_s=0)
    assert "too far" == next(values)


async def test_a_coroutine_function_is_awaited() -> None:
    attempts = count()

    async def third_time() -> bool:
        return next(attempts) == 2

    assert await eventually(third_time, interval_s=0) is True
    assert 3 == next(attempts)


async def test_failed_assertions_are_retried() -> None:
    attempts = count()

    def third_time() -> str:
        number = next(attempts)
        assert number == 2, "too early"
        return f"attempt {number}"

    assert "attempt 2" == await eventually(third_time, interval_s=0)


async def test_other_tasks_run_between_two_attempts() -> None:
    happened = asyncio.Event()
    task = asyncio.get_running_loop().create_task(asyncio.sleep(0))
    task.add_done_callback(lambda _: happened.set())

    assert await eventually(happened.is_set, interval_s=0) is True


async def test_a_failure_at_the_time_out_names_the_last_value() -> None:
    with pytest.raises(AssertionError, match=r"not true within 0 s.*it returned \[\]"):
        await eventually(list[int], timeout_s=0)


async def test_a_failure_at_the_time_out_names_and_chains_the_last_assertion() -> None:
    def wrong() -> bool:
        raise AssertionError("3 spans, not 4")

    with pytest.raises(AssertionError, match="3 spans, not 4") as caught:
        await eventually(wrong, timeout_s=0)

    assert "3 spans, not 4" == str(caught.value.__cause__)


async def test_a_predicate_that_never_returns_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def endless() -> bool:
        try:
            return await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(AssertionError, match="it did not return"):
        await eventually(endless, timeout_s=0.01)
    assert cancelled.is_set()


@pytest.mark.parametrize("kind", [ValueError, TimeoutError])
async def test_other_errors_are_raised_at_once(kind: type[Exception]) -> None:
    attempts = count()

    def broken() -> bool:
        next(attempts)
        raise kind("mine")

    with pytest.raises(kind, match="mine"):
        await eventually(broken)
    assert 1 == next(attempts)
