"""What a customer may send, and the order that it makes."""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from demo_pipeline.catalogue import PRICES
from demo_pipeline.events import Order, OrderLine

# Control characters: PostgreSQL stores no NUL, and nobody ships to a line break.
_PLAIN: Final = r"^[^\x00-\x1f\x7f]*\Z"
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=_PLAIN)]


@dataclass(frozen=True, slots=True)
class RequestedLine:
    """Some pieces of one product. The price is the shop's business."""

    sku: _Name
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The body of `POST /orders`."""

    user_id: _Name
    card_token: _Name
    ship_to: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_PLAIN)]
    lines: Annotated[tuple[RequestedLine, ...], msgspec.Meta(min_length=1, max_length=20)]


_DECODER: Final = msgspec.json.Decoder(OrderRequest)


def order_from(body: bytes, *, order_id: str) -> Order:
    """Read a request and price it.

    Raises:
        ValueError: It is no JSON, does not fit, or asks for what the shop does not sell. The
            message tells the customer what to mend.
    """
    request = _DECODER.decode(body)
    unknown = sorted({line.sku for line in request.lines} - PRICES.keys())
    if unknown:
        raise ValueError(f"not sold here: {', '.join(unknown)}; there is {', '.join(PRICES)}")
    lines = tuple(OrderLine(line.sku, line.quantity, PRICES[line.sku]) for line in request.lines)
    return Order(
        order_id=order_id,
        user_id=request.user_id,
        lines=lines,
        total_cents=sum(line.quantity * line.unit_price_cents for line in lines),
        card_token=request.card_token,
        ship_to=request.ship_to,
    )
