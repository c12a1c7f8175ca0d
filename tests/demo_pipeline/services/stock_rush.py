"""Many orders at once for a few pieces, handled by several instances of the inventory."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from demo_pipeline.app.stock_verify import verified
from demo_pipeline.domain.commands import ReleaseInventory, ReserveInventory
from demo_pipeline.domain.events import StockReserved
from demo_pipeline.runtime.database import existing_database, open_database
from demo_pipeline.services import SERVICES
from demo_pipeline.services.inventory import FIRST_STOCK, available
from tests.demo_pipeline.services.stock_scene import order_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.domain.messages import Message

LEFT: Final = 20
PRODUCTS: Final = ("coffee-beans", "espresso-cup", "filter-paper")
# Products in every sequence: two orders that lock them in their own sequence would deadlock.
SEQUENCES: Final = (PRODUCTS, PRODUCTS[::-1], (PRODUCTS[1], PRODUCTS[0], PRODUCTS[2]))


async def check_a_rush(url: str, *, instances: int, orders: int) -> None:
    """Check that exactly what is left is sold, each command counts once and the log agrees."""
    async with AsyncExitStack() as stack:
        service = SERVICES["inventory"]
        engines = [
            await stack.enter_async_context(open_database(service, url)) for _ in range(instances)
        ]
        stocked = order_of("stocked", **dict.fromkeys(PRODUCTS, FIRST_STOCK - LEFT))
        await _handle(engines[0], ReserveInventory(stocked))
        wishes = [
            order_of(f"o-{number}", **dict.fromkeys(SEQUENCES[number % len(SEQUENCES)], 1))
            for number in range(orders)
        ]
        # Meanwhile, a reader always sees one moment of a log that agrees.
        sold = asyncio.Event()
        reading = asyncio.create_task(_verify_until(sold, url))
        # Every command twice, at two instances.
        answers = await asyncio.gather(
            *(
                _handle(engines[(number + again) % instances], ReserveInventory(order, again))
                for number, order in enumerate(wishes)
                for again in (1, 2)
            )
        )
        sold.set()
        await reading
        outcomes = Counter(type(answer) for answer in answers)
        assert 2 * LEFT == outcomes[StockReserved]
        assert answers[::2] == answers[1::2]
        assert [0, 0, 0] == [await _available(engines[0], sku) for sku in PRODUCTS]
        await asyncio.gather(
            *(
                _handle(engines[(number + again) % instances], ReleaseInventory(order, again))
                for number, order in enumerate(wishes)
                for again in (1, 2)
            )
        )
        assert [LEFT] * 3 == [await _available(engines[0], sku) for sku in PRODUCTS]
        assert () == (await verified(engines[0])).all_problems


async def _verify_until(sold: asyncio.Event, url: str) -> None:
    async with existing_database("inventory", url) as database:
        while not sold.is_set():
            assert () == (await verified(database)).all_problems


async def _handle(engine: AsyncEngine, command: ReserveInventory | ReleaseInventory) -> Message:
    handler = SERVICES["inventory"].handlers[type(command)]
    async with engine.begin() as connection:
        (answer,) = await connection.run_sync(lambda plain: handler(command, plain))
    return answer


async def _available(engine: AsyncEngine, sku: str) -> int:
    async with engine.connect() as connection:
        return await available(sku, connection)
