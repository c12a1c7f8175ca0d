"""Waiting until a condition is true, without sleeping longer than needed."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, TypeVar, cast, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_Result = TypeVar("_Result")


@overload
async def eventually(
    predicate: Callable[[], Awaitable[_Result]],
    *,
    timeout_s: float = ...,
    interval_s: float = ...,
) -> _Result: ...


@overload
async def eventually(
    predicate: Callable[[], _Result],
    *,
    timeout_s: float = ...,
    interval_s: float = ...,
) -> _Result: ...


async def eventually(
    predicate: Callable[[], _Result | Awaitable[_Result]],
    *,
    timeout_s: float = 10.0,
    interval_s: float = 0.01,
) -> _Result:
    """Call `predicate` until it returns something truthy and raises no `AssertionError`.

    It is called at least once. An asynchronous predicate that still runs at the time-out
    is cancelled.

    Args:
        predicate: A plain or an asynchronous callable without parameters.
        timeout_s: How long to try, in seconds.
        interval_s: The pause between two calls, in seconds.

    Returns:
        The last result of `predicate`.

    Raises:
        AssertionError: It was not true in time; the message names the last failure.
        Exception: Any other error of `predicate`, at once.
    """
    last_failure = "it did not return"
    cause: AssertionError | None = None
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            while True:
                try:
                    outcome = predicate()
                    value = await outcome if inspect.isawaitable(outcome) else outcome
                except AssertionError as error:
                    last_failure, cause = f"AssertionError: {error}", error
                else:
                    if value:
                        return cast("_Result", value)
                    last_failure, cause = f"it returned {value!r}", None
                await asyncio.sleep(interval_s)
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(
            f"not true within {timeout_s:g} s, last failure: {last_failure}"
        ) from cause
