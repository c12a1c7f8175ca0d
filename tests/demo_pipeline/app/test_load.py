from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo_pipeline.app.http_server import listen, serving
from demo_pipeline.app.load import Load, order_bodies, place_orders
from demo_pipeline.domain.order_request import order_from

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
