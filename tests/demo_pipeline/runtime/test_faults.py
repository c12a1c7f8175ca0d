"""What goes wrong on purpose, where the shop becomes slow or quick meanwhile."""

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


async def test_an_outage_lasts_longer_where_the_shop_is_slow_and_once_over_it_stays_over(
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

    assert not await is_away()
    pace.asked("o-1")
    now += 3 * USUAL_S
    pace.answered("o-1")
    # It began a second after the first charge, and takes two seconds, here three times as many.
    assert await is_away()
    now = 1000.0 + 1 + 5.9
    assert await is_away()
    now += 0.2
    assert not await is_away()
    pace.asked("o-2")
    now += 6 * USUAL_S
    assert pace.factor > 3
    assert not await is_away()
