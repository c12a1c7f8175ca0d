"""Deliberate faults, while the pace of the shop changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from demo_pipeline.domain.commands import ChargeCard
from demo_pipeline.domain.pace import USUAL_S, Pace
from demo_pipeline.runtime import faults
from demo_pipeline.runtime.faults import CardProviderUnreachableError, Faults
from demo_pipeline.runtime.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_an_outage_lasts_longer_in_a_slow_shop_and_once_over_stays_over(
    make_order: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(faults, "monotonic", lambda: now)
    pace = Pace(clock=lambda: now)
    shop = Faults(SCENARIOS["payment-outage"], pace)

    async def is_away() -> bool:
        try:
            await shop.before(ChargeCard(make_order()))
        except CardProviderUnreachableError:
            return True
        return False

    pace.asked("o-1")
    now += 3 * USUAL_S
    pace.answered("o-1")
    # The outage begins with the fifth charge and lasts two seconds, times three here.
    assert [False] * 4 == [await is_away() for _ in range(4)]
    now = 1000.0
    assert await is_away()
    now += 5.9
    assert await is_away()
    now += 0.2
    assert not await is_away()
    pace.asked("o-2")
    now += 6 * USUAL_S
    assert pace.factor > 3
    assert not await is_away()


async def test_the_orders_api_is_down_once_for_a_while_and_only_where_the_scenario_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(faults, "monotonic", lambda: now)
    shop, steady = (
        Faults(SCENARIOS[name], Pace(clock=lambda: now)) for name in ("notification", "steady")
    )
    down = []
    # It begins with the fifth call-back and lasts two seconds.
    for now in (1000.0, 1000.0, 1000.0, 1000.9, 1001.0, 1002.9, 1003.1, 1004.0):  # noqa: B007 - the clock reads it
        assert not steady.orders_api_is_down()
        down.append(shop.orders_api_is_down())

    assert [False, False, False, False, True, True, False, False] == down
