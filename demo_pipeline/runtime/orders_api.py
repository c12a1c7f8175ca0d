"""The orders API as services of the shop call it: by HTTP, in the trace of the message at hand."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

import tracing

if TYPE_CHECKING:
    import httpx

    from demo_pipeline.domain.notices import OrderLink

# A path of this API and nothing else: a link in a message must not lead anywhere else.
_PATH: Final = re.compile(r"/orders/[0-9A-Za-z-]{1,64}")
_OK: Final = 200


class LinkRefusedError(tracing.Unprocessable):
    """A link in a message does not lead to an order; trying again does not help."""


class OrderUnavailableError(ConnectionError):
    """The orders API has no answer at the moment; trying again may help."""


@dataclass(frozen=True, slots=True)
class OrdersApi:
    """Where the orders API is, for services of the shop.

    Attributes:
        url: Its base URL.
        secret: What services show to be recognised as part of the shop.
    """

    url: str
    # Not in a log line or an error.
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """What a reader gets when it asks: the order as it is now, not as it was at the event.

    Attributes:
        order_id: Its id.
        user_id: The customer.
        total_cents: Its total, in cents.
        state: Its state.
    """

    order_id: str
    user_id: str
    total_cents: int
    state: str


_DECODER: Final = msgspec.json.Decoder(OrderAnswer)


async def ask(client: httpx.AsyncClient, order: OrderLink) -> OrderAnswer:
    """Ask for an order.

    Args:
        client: A client of the orders API.
        order: The order, as a notice names it.

    Raises:
        LinkRefusedError: It leads to no order.
        OrderUnavailableError: The API answered with an error, or with something else.
        httpx.HTTPError: It did not answer.
    """
    path = f"{order.api}/{order.order_id}"
    if not _PATH.fullmatch(path):
        raise LinkRefusedError("a link in a message must be the path of an order, as /orders/ID")
    response: Any = await client.get(path, headers={"accept": "application/json"})
    if response.status_code != _OK:
        raise OrderUnavailableError(f"the orders API answered HTTP {response.status_code}")
    try:
        return _DECODER.decode(response.content)
    except msgspec.DecodeError as error:
        raise OrderUnavailableError("the orders API answered with no order") from error
