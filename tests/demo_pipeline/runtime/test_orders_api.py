"""Calling the orders API back: what is asked, and what happens where no order comes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from demo_pipeline.domain.notices import OrderLink
from demo_pipeline.runtime.orders_api import (
    LinkRefusedError,
    OrderAnswer,
    OrderUnavailableError,
    ask,
)
from tracing import Retry

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = {"order_id": "o-1", "user_id": "user-07", "total_cents": 8900, "state": "paid"}


def _client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://shop")


async def test_an_order_is_asked_for_by_its_link_as_json() -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((str(request.url), request.headers["accept"]))
        # A later version may say more.
        return httpx.Response(200, json={**ORDER, "pending": True, "reason": None})

    async with _client(answer) as client:
        order = await ask(client, OrderLink("o-1", "/orders"))

    assert OrderAnswer("o-1", "user-07", 8900, "paid") == order
    assert [("http://shop/orders/o-1", "application/json")] == asked


@pytest.mark.parametrize(
    "link",
    [
        OrderLink("o-1", "http://elsewhere/orders"),
        OrderLink("o-1", "//elsewhere/orders"),
        OrderLink("o-1", ""),
        OrderLink("o-1", "/admin"),
        OrderLink("../admin", "/orders"),
        OrderLink("o-1?all", "/orders"),
        OrderLink("", "/orders"),
        OrderLink("o-1\n", "/orders"),
    ],
)
async def test_a_link_that_leads_elsewhere_is_refused_at_once(link: OrderLink) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise AssertionError

    async with _client(answer) as client:
        with pytest.raises(LinkRefusedError, match="as /orders/ID") as refused:
            await ask(client, link)

    assert not Retry().may_succeed_after(refused.value)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(503, json={"error": "try again"}),
        httpx.Response(404),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=json.dumps({**ORDER, "total_cents": "much"}).encode()),
        httpx.Response(302, headers={"location": "http://elsewhere"}),
    ],
)
async def test_anything_but_an_order_is_tried_again(response: httpx.Response) -> None:
    async with _client(lambda _request: response) as client:
        with pytest.raises(OrderUnavailableError, match="the orders API answered") as refused:
            await ask(client, OrderLink("o-1", "/orders"))

    assert Retry().may_succeed_after(refused.value)
