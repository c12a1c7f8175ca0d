from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo_pipeline.app.http_limits import HttpLimits
from demo_pipeline.app.http_server import listen, serving
from demo_pipeline.app.load import Load, order_bodies, place_orders
from demo_pipeline.domain.order_request import order_from
from tracing.testing import eventually

if TYPE_CHECKING:
    from starlette.requests import Request


def test_a_seed_makes_the_same_orders_and_another_makes_others() -> None:
    def orders(seed: int) -> list[dict[str, object]]:
        return list(order_bodies(Load(orders=30, rate=1, seed=seed)))

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)


def test_a_few_customers_place_many_orders_each() -> None:
    load = Load(orders=10, rate=1, seed=1, customers=4)

    assert 4 == len({body["user_id"] for body in order_bodies(load)})


def test_generated_orders_are_valid() -> None:
    for number, body in enumerate(order_bodies(Load(orders=100, rate=1, seed=3))):
        order = order_from(msgspec.json.encode(body), order_id=str(number))
        assert 0 < order.total_cents < 500_000


async def test_orders_that_come_too_fast_wait_and_none_is_cut_off() -> None:
    at_work, go_on, most = 0, asyncio.Event(), HttpLimits().connections // 2

    async def health(_request: Request) -> Response:
        return JSONResponse({})

    async def place(_request: Request) -> Response:
        nonlocal at_work
        at_work += 1
        await go_on.wait()
        return JSONResponse({"order_id": "o"}, status_code=202)

    async def full() -> bool:
        return at_work >= most

    app = Starlette(
        routes=[Route("/health", health), Route("/orders", place, methods=["POST"])],
    )
    load = Load(orders=2 * HttpLimits().connections, rate=1e6, seed=1)
    async with serving(app, listen(0)) as url:
        placing = asyncio.create_task(place_orders(url, load, lambda *_: None))
        await eventually(full)
        # The client has turns enough to send all orders.
        for _ in range(10 * load.orders):
            await asyncio.sleep(0)
        assert most == at_work
        go_on.set()

        assert () == await placing
    assert load.orders == at_work


async def test_accepted_orders_are_named_and_refused_ones_counted() -> None:
    async def health(_request: Request) -> Response:
        return JSONResponse({})

    numbers = iter(range(100))

    async def place(_request: Request) -> Response:
        number = next(numbers)
        return JSONResponse({"order_id": f"o-{number}"}, status_code=202 if number < 3 else 503)

    app = Starlette(
        routes=[Route("/health", health), Route("/orders", place, methods=["POST"])],
    )
    load = Load(orders=5, rate=1000, seed=1)
    accepted: dict[str, str] = {}
    async with serving(app, listen(0)) as url:
        refused = await place_orders(url, load, accepted.setdefault)
    assert ["o-0", "o-1", "o-2"] == sorted(accepted)
    assert set(accepted.values()) <= {body["user_id"] for body in order_bodies(load)}
    assert ("HTTP 503", "HTTP 503") == refused
