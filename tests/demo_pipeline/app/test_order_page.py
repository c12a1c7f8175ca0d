"""What the page of an order says, and that it shows no markup that came from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from demo_pipeline.app.order_page import Outlook, message_page, order_page
from demo_pipeline.domain.order_states import PENDING_STATES, OrderState
from demo_pipeline.services.orders import OrderStatus


def _status(state: OrderState, reason: str | None = None, order_id: str = "o-1") -> OrderStatus:
    return OrderStatus(order_id, "user-07", 8905, state, state in PENDING_STATES, reason)


def _text(page: str, role: str = 'role="status"') -> str:
    found = re.search(f"<p {role}>(.*?)</p>", page)
    return found[1] if found else ""


def _refresh(page: str) -> int | None:
    found = re.search(r'http-equiv="refresh" content="(\d+)"', page)
    return int(found[1]) if found else None


@pytest.mark.parametrize(
    ("state", "outlook", "expected", "refresh"),
    [
        (OrderState.RESERVED, Outlook(3.2, 1), "being paid, usually done in 3 s.", 4),
        (OrderState.RESERVED, Outlook(), "being paid.", 10),
        (OrderState.RESERVED, Outlook(None, 500), "being paid.", 10),
        (OrderState.RESERVED, Outlook(3, None), "being paid, usually done in 3 s.", 3),
        (OrderState.RESERVED, Outlook(3, 9), "being paid, usually done in 3 s.", 3),
        (OrderState.RESERVED, Outlook(3, 9.1), "much longer than usual: usually it is done in", 10),
        (OrderState.RESERVED, Outlook(0.1, 5), "usually done in less than a second.", 1),
        (OrderState.PLACED, Outlook(0.1, 6), "being reserved. This takes much longer", 10),
        (OrderState.PAID, Outlook(240, 1), "being shipped, usually done in 4 minutes.", 10),
        (OrderState.CANCELLING, Outlook(1, 1), "being cancelled, usually done in 1 s.", 1),
        (OrderState.ON_HOLD, Outlook(1, 900), "on hold: someone will look at it.", 60),
        (OrderState.SHIPPED, Outlook(1, 900), "Your order was shipped.", None),
        (OrderState.CANCELLED, Outlook(1, 900), "Your order was cancelled.", None),
    ],
)
def test_it_says_what_happens_and_how_long_that_usually_takes(
    state: OrderState, outlook: Outlook, expected: str, refresh: int | None
) -> None:
    page = order_page(_status(state), outlook)

    assert expected in _text(page)
    assert refresh == _refresh(page)


@pytest.mark.parametrize(
    ("behind_s", "mark"), [(None, ""), (0.0, ""), (4.9, ""), (5.0, "5 s ago"), (600, "10 minutes")]
)
def test_it_is_marked_where_it_is_behind(behind_s: float | None, mark: str) -> None:
    page = order_page(_status(OrderState.PAID), Outlook(behind_s=behind_s))

    assert bool(mark) == ("out of date" in page)
    assert mark in page


class _Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


@pytest.mark.parametrize(
    "hostile",
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</p></main><b>", "&lt;", "'"],
)
def test_everything_from_outside_is_escaped(hostile: str) -> None:
    def tags_of(text: str) -> tuple[list[str], list[str]]:
        pages = (
            order_page(_status(OrderState.CANCELLED, text, text), Outlook()),
            message_page(text, text),
        )
        markup = _Markup()
        for page in pages:
            assert text == "plain" or text not in page.replace("&#x27;", "")
            markup.feed(page)
            markup.close()
        assert [] == markup.open
        return markup.tags, markup.attributes

    assert tags_of("plain") == tags_of(hostile)


def test_it_can_be_read_by_all() -> None:
    page = order_page(_status(OrderState.PAID), Outlook(3, 1))

    assert page.startswith('<!doctype html><html lang="en">')
    assert 1 == page.count("<h1>") == page.count("<main>") == page.count("<title>")
    assert "<script" not in page
    assert "http:" not in page
    assert "user-07" not in page
    assert "89.05" in page
