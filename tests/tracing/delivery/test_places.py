"""Places are taken in the order of asking, and none is lost."""

from __future__ import annotations

import asyncio

from tracing.delivery.places import Places


async def waiting(places: Places) -> asyncio.Task[None]:
    task = asyncio.create_task(places.wait())
    await asyncio.sleep(0)
    return task


async def test_as_many_places_are_taken_at_once_as_there_are() -> None:
    places = Places(2)

    assert [True, True, False] == [places.take() for _ in range(3)]

    places.give_back()
    assert [True, False] == [places.take() for _ in range(2)]


async def test_a_place_goes_to_the_caller_that_has_waited_longest() -> None:
    places = Places(1)
    assert places.take()
    first, second = await waiting(places), await waiting(places)

    places.give_back()

    assert not places.take(), "the place was promised to another caller"
    await first
    assert not second.done()
    places.give_back()
    await second


async def test_later_callers_wait_behind_earlier_ones() -> None:
    places = Places(1)
    assert places.take()
    first = await waiting(places)
    places.give_back()
    last = await waiting(places)

    await first

    assert not last.done()
    places.give_back()
    await last


async def test_a_cancelled_caller_leaves_its_turn_to_the_next() -> None:
    places = Places(1)
    assert places.take()
    first, second = await waiting(places), await waiting(places)

    first.cancel()
    await asyncio.wait((first,))
    places.give_back()

    await second
    assert first.cancelled()
    assert not places.take()


async def test_a_place_is_not_lost_with_the_caller_that_was_cancelled_as_it_got_it() -> None:
    places = Places(1)
    assert places.take()
    first = await waiting(places)

    places.give_back()
    first.cancel()
    await asyncio.wait((first,))

    assert first.cancelled()
    assert places.take()


async def test_a_place_is_not_lost_if_it_is_given_back_as_a_caller_is_cancelled() -> None:
    places = Places(1)
    assert places.take()
    first = await waiting(places)

    first.cancel()
    places.give_back()
    await asyncio.wait((first,))

    assert first.cancelled()
    assert places.take()
    assert not places.take()
