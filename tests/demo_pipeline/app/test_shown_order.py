"""`GET /orders/{order_id}` over HTTP: a page for people, and waiting for the outcome."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiokafka.structs import ConsumerRecord

from demo_pipeline.app.http_api import http_api
from demo_pipeline.app.http_server import listen, serving
from demo_pipeline.app.recording import Recording
from demo_pipeline.domain.codec import headers_of
from demo_pipeline.domain.commands import CancelOrder, PlaceOrder
from demo_pipeline.domain.events import OrderShipped, PaymentCharged, StockReserved
from demo_pipeline.domain.order_states import OrderState
from demo_pipeline.domain.topics import SHIPPING, TOPIC_OF
from demo_pipeline.runtime import arrivals
from demo_pipeline.runtime.publishing import perform
from demo_pipeline.services import orders
from demo_pipeline.services.orders import place_order
from tests.semconv.conformance import span_violations
from tracing.replay import LogPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from demo_pipeline.domain.events import Order
    from demo_pipeline.domain.messages import Message
    from demo_pipeline.runtime.service import RecordHandler
    from demo_pipeline.runtime.service_context import ServiceContext

_PAGE = {"accept": "text/html"}


class Shop:
    """The orders service with its API, and records that are handled one by one."""

    def __init__(
        self,
        context: ServiceContext,
        client: httpx.AsyncClient,
        handle: RecordHandler,
        recording: Recording,
    ) -> None:
        self.context = context
        self.client = client
        self.recording = recording
        self._handle = handle
        self._offset = 0

    async def placed(self, order: Order) -> None:
        """Accept an order."""
        await perform(place_order, PlaceOrder(order), self.context)
        self.context.durations.moved(order.order_id, OrderState.PLACED, time())

    async def receives(self, message: Message, at_s: float | None = None) -> None:
        """Let the service handle a message."""
        self._offset += 1
        value = self.context.codec.encode(message)
        identity = [("ce_id", b"%d" % self._offset), ("ce_source", b"/test")]
        headers: Any = (*headers_of(message), *identity)
        at_ms = round((time() if at_s is None else at_s) * 1000)
        await self._handle(
            ConsumerRecord(
                TOPIC_OF[type(message)], 0, self._offset, at_ms, 0, None, value, 0, 0, 0, headers
            )
        )


@pytest.fixture
async def shop(open_context: Any) -> AsyncIterator[Shop]:
    async with _opened(await open_context("orders")) as opened:
        yield opened


@asynccontextmanager
async def _opened(context: ServiceContext) -> AsyncIterator[Shop]:
    recording = Recording()
    providers = recording.providers("orders")
    with listen(0) as listener:
        async with (
            orders.at_work(context) as work,
            serving(http_api(context, providers), listener) as url,
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=40) as client,
        ):
            yield Shop(context, client, work.handle, recording)
    providers.shutdown()


async def test_people_get_a_page_and_programs_get_json(
    shop: Shop, make_order: Callable[..., Order]
) -> None:
    await shop.placed(make_order())
    page = await shop.client.get("/orders/o-1", headers=_PAGE)
    data = await shop.client.get("/orders/o-1")
    missing = await shop.client.get("/orders/o-9", headers=_PAGE)

    assert "text/html; charset=utf-8" == page.headers["content-type"]
    assert "Your items are being reserved." in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert ("application/json", "placed") == (data.headers["content-type"], data.json()["state"])
    assert (404, "text/html; charset=utf-8") == (
        missing.status_code,
        missing.headers["content-type"],
    )
    assert "There is no such order." in missing.text
    for answer in (page, data, missing):
        assert ("Accept, Prefer", "no-store") == (
            answer.headers["vary"],
            answer.headers["cache-control"],
        )


async def test_the_expected_time_comes_from_the_orders_before(
    shop: Shop, make_order: Callable[..., Order]
) -> None:
    now_s = time()
    for number, seconds in enumerate((2.0, 3.0, 40.0)):
        order = make_order(f"old-{number}")
        await shop.placed(order)
        await shop.receives(StockReserved(order, "r"), now_s + 1)
        await shop.receives(PaymentCharged(order, "p"), now_s + 1 + seconds)
    await shop.placed(make_order())
    await shop.receives(StockReserved(make_order(), "r"))
    soon = await shop.client.get("/orders/o-1", headers=_PAGE)

    assert "Your order is being paid, usually done in 3 s." in soon.text
    assert 'http-equiv="refresh" content="3"' in soon.text


async def test_an_order_that_takes_much_longer_than_usual_says_so(
    shop: Shop, make_order: Callable[..., Order]
) -> None:
    now_s = time()
    for name in ("old", "o-1"):
        shop.context.durations.moved(name, OrderState.PLACED, now_s - 120)
        await perform(place_order, PlaceOrder(make_order(name)), shop.context)
        await shop.receives(StockReserved(make_order(name), "r"), now_s - 100)
    await shop.receives(PaymentCharged(make_order("old"), "p"), now_s - 97)

    page = await shop.client.get("/orders/o-1", headers=_PAGE)

    assert "This takes much longer than usual: usually it is done in 3 s." in page.text


async def test_a_page_is_marked_while_the_service_is_behind(
    shop: Shop, make_order: Callable[..., Order]
) -> None:
    order, place = make_order(), LogPartition(SHIPPING, 0)
    await shop.placed(order)
    ends = shop.context.ends
    ends.expect([place])
    ends.seen(place, 1, handled=0)
    ends.received(
        ConsumerRecord(SHIPPING, 0, 0, round(time() - 60) * 1000, 0, None, b"", 0, 0, 0, ())
    )
    stale = await shop.client.get("/orders/o-1", headers=_PAGE)
    await shop.receives(OrderShipped(order, "s"), time() - 60)
    fresh = await shop.client.get("/orders/o-1", headers=_PAGE)

    assert "This may be out of date." in stale.text
    assert "out of date" not in fresh.text
    assert "Your order was shipped." in fresh.text
    assert "refresh" not in fresh.text


async def _waits(shop: Shop, number: int) -> None:
    async with asyncio.timeout(10):
        while len(shop.context.arrivals) < number:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_a_client_can_wait_for_the_outcome(
    shop: Shop, make_order: Callable[..., Order], accept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_RECHECK_S", 60.0)
    order = make_order()
    await shop.placed(order)
    headers = {"accept": accept, "prefer": 'wait="25"; x, wait=1'}
    asking = asyncio.create_task(shop.client.get("/orders/o-1", headers=headers))
    await _waits(shop, 1)
    await shop.receives(StockReserved(order, "r"))
    assert not asking.done()
    await shop.receives(CancelOrder(order, "the card was declined"))
    async with asyncio.timeout(15):
        answer = await asking

    assert "wait=25" == answer.headers["preference-applied"]
    assert "the card was declined" in answer.text
    assert 0 == len(shop.context.arrivals)


async def test_a_service_that_stops_keeps_none_waiting(
    shop: Shop, make_order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_RECHECK_S", 60.0)
    await shop.placed(make_order())
    asking = asyncio.create_task(shop.client.get("/orders/o-1", headers={"prefer": "wait=25"}))
    await _waits(shop, 1)
    shop.context.arrivals.close()
    async with asyncio.timeout(15):
        answer = await asking
        after = await shop.client.get("/orders/o-1", headers={"prefer": "wait=25"})

    assert ["placed"] * 2 == [each.json()["state"] for each in (answer, after)]


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=1", "wait=1"),
        ("WAIT = 1", "wait=1"),
        ("wait=0", None),
        ("wait=-1", None),
        ("wait=soon", None),
        ("wait", None),
        ("wait=1.5", None),
        ("respond-async", None),
    ],
)
async def test_waiting_is_bounded_and_what_is_malformed_is_ignored(
    shop: Shop, make_order: Callable[..., Order], prefer: str, applied: str | None
) -> None:
    await shop.placed(make_order())

    answer = await shop.client.get("/orders/o-1", headers={"prefer": prefer})

    assert (200, applied) == (answer.status_code, answer.headers.get("preference-applied"))


async def test_a_wait_lasts_half_a_minute_at_most_and_none_is_for_what_has_ended(
    shop: Shop, make_order: Callable[..., Order]
) -> None:
    order = make_order()
    await shop.placed(order)
    await shop.receives(OrderShipped(order, "s"))

    ended = await shop.client.get("/orders/o-1", headers={"prefer": "wait=99999"})
    missing = await shop.client.get("/orders/o-9", headers={"prefer": "wait=20"})

    assert (200, "wait=30") == (ended.status_code, ended.headers["preference-applied"])
    assert 404 == missing.status_code


async def test_pages_follow_the_http_conventions(
    shop: Shop, make_order: Callable[..., Order]
) -> None:
    await shop.placed(make_order())
    await shop.client.get("/orders/o-1", headers={**_PAGE, "prefer": "wait=1"})
    await shop.client.get("/orders/o-9", headers=_PAGE)

    assert ["GET /orders/{order_id}"] * 2 == [span.name for span in shop.recording.spans]
    assert [] == span_violations(shop.recording.spans)
