"""The body of `POST /orders`: its checks, and the priced order made of it."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from demo_pipeline.domain.catalogue import PRICES
from demo_pipeline.domain.events import Order, OrderLine

if TYPE_CHECKING:
    from collections.abc import Iterator

# Control, format (bidi, zero width), surrogates, private use, unassigned, line and paragraph
# separators: characters that are invisible, or change how others look.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters, marks and symbols that are just as invisible, from Unicode's Default_Ignorable_Code_Point
# and its blanks: joiner, fillers, inherent vowels, variation selectors, an empty Braille cell.
_BLANK: Final = frozenset(
    map(
        chr,
        (
            0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800,
            0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0),
        ),
    )
)  # fmt: skip

# Zero-width joiners, which some languages need within words.
_NON_JOINER: Final = "\u200c"
_JOINERS: Final = frozenset({_NON_JOINER, "\u200d"})
_VIRAMA: Final = 9
_MAX_DIGITS: Final = 400

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True)
class RequestedLine:
    """A quantity of one product. The shop sets the price."""

    sku: _Name
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The body of `POST /orders`."""

    user_id: _Name
    card_token: _Name
    ship_to: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    lines: Annotated[tuple[RequestedLine, ...], msgspec.Meta(min_length=1, max_length=20)]


_DECODER: Final = msgspec.json.Decoder(OrderRequest)


def order_from(body: bytes, *, order_id: str) -> Order:
    """Parse a request and price it.

    Raises:
        ValueError: It is not valid JSON, does not fit the schema, or asks for an unknown product.
            The message says what the customer has to correct.
    """
    request = _read(body)
    for field, text in _texts(request):
        _check_text(field, text)
    unknown = sorted({line.sku for line in request.lines} - PRICES.keys())
    if unknown:
        raise ValueError(f"unknown products: {', '.join(unknown)}; known: {', '.join(PRICES)}")
    lines = tuple(OrderLine(line.sku, line.quantity, PRICES[line.sku]) for line in request.lines)
    return Order(
        order_id=order_id,
        user_id=request.user_id,
        lines=lines,
        total_cents=sum(line.quantity * line.unit_price_cents for line in lines),
        card_token=request.card_token,
        ship_to=request.ship_to,
    )


def _read(body: bytes) -> OrderRequest:
    try:
        request = _DECODER.decode(body)
        # Of duplicate names, the decoder uses the last one and other parsers the first one.
        json.loads(body, object_pairs_hook=_without_doubles, parse_int=_whole_number)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply: an order has two levels") from None
    except UnicodeDecodeError:
        raise ValueError("the JSON is not UTF-8") from None
    return request


def _without_doubles(fields: list[tuple[str, Any]]) -> None:
    if len(dict(fields)) < len(fields):
        raise ValueError("the JSON has an object with a duplicate name")


def _whole_number(digits: str) -> None:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"the JSON has a number of more than {_MAX_DIGITS} digits")


def _texts(request: OrderRequest) -> Iterator[tuple[str, str]]:
    yield "user_id", request.user_id
    yield "card_token", request.card_token
    yield "ship_to", request.ship_to
    for number, line in enumerate(request.lines):
        yield f"lines[{number}].sku", line.sku


def _check_text(field: str, text: str) -> None:
    """Refuse invisible characters, and those that change how other text is shown.

    Names in all languages are fine. Emoji of one character are; composed ones are not, because
    they need joiners and variation selectors, which could hide in any text.
    """
    for at, character in enumerate(text):
        hidden = character in _BLANK or unicodedata.category(character) in _INVISIBLE
        if hidden and not _joins(text[max(0, at - 1) : at + 2]):
            raise ValueError(
                f"{field} has an invisible character (U+{ord(character):04X}): leave out control "
                "characters, line breaks, direction marks and zero-width characters"
            )
    if text != text.strip():
        raise ValueError(f"{field} must not begin or end with a space")
    if unicodedata.category(text[0]).startswith("M"):
        raise ValueError(f"{field} must not begin with a combining mark")


def _joins(three: str) -> bool:
    """Return whether the middle character is a joiner in a valid place (RFC 5892, A.1 and A.2).

    A joiner may follow a virama, as in Sinhala and Hindi. A non-joiner may also stand between two
    letters of the Arabic script, as in Persian.
    """
    if len(three) < len("abc") or three[1] not in _JOINERS:
        return False
    before, joiner, after = (*three,)
    return unicodedata.combining(before) == _VIRAMA or (
        joiner == _NON_JOINER
        and unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == "AL"
    )
