"""The page of an order for people: its state, how long that usually takes, and how sure that is."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from math import ceil
from typing import TYPE_CHECKING, Final

from demo_pipeline.domain.order_states import OrderState

if TYPE_CHECKING:
    from demo_pipeline.services.orders import OrderStatus

_WORDS: Final = {
    OrderState.PLACED: "Your items are being reserved",
    OrderState.RESERVED: "Your order is being paid",
    OrderState.PAID: "Your order is being shipped",
    OrderState.SHIPPED: "Your order was shipped",
    OrderState.CANCELLING: "Your order is being cancelled",
    OrderState.CANCELLED: "Your order was cancelled",
    OrderState.ON_HOLD: "Your order is on hold: someone will look at it",
}
# A person decides about these, so that no figure says when.
_BY_HAND: Final = OrderState.ON_HOLD
_MUCH_LONGER: Final = 3
_AT_LEAST_LONGER_S: Final = 5
_STALE_S: Final = 5.0
_MINUTE_S: Final = 60
_FASTEST_S: Final = 1
_SLOWEST_S: Final = 10
_BY_HAND_S: Final = 60

_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem;"
    "color:#1b1b1b;background:#fff}dt{font-weight:600}dd{margin:0 0 .5rem}"
    ".stale{border-left:.4rem solid #8a4b00;padding-left:.8rem}"
    "@media (prefers-color-scheme:dark){body{color:#eee;background:#111}}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_HEADERS: Final = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""Headers of a page: it loads nothing, and runs nothing."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known about the time that an order takes.

    Attributes:
        usual_s: How long orders usually stay in its state; `None` if there are no recent figures.
        so_far_s: How long it has been in its state; `None` if that is not known.
        behind_s: How far what is shown is behind the events; `None` if that is not known.
    """

    usual_s: float | None = None
    so_far_s: float | None = None
    behind_s: float | None = None


def order_page(status: OrderStatus, outlook: Outlook) -> str:
    """Return the page of an order, as HTML; it reloads itself while the outcome is open."""
    words = _WORDS[status.state]
    details = [("Order", status.order_id), ("Total", f"{status.total_cents / 100:.2f}")]
    if status.reason:
        details.append(("Reason", status.reason))
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in details)
    paragraphs = [f'<p role="status">{escape(_progress(status, outlook))}</p>']
    if outlook.behind_s is not None and outlook.behind_s >= _STALE_S:
        paragraphs.append(
            '<p class="stale"><strong>This may be out of date.</strong> It shows the state of '
            f"{escape(_duration(outlook.behind_s))} ago or earlier.</p>"
        )
    refresh = ""
    if status.pending:
        refresh = f'<meta http-equiv="refresh" content="{_refresh_s(status, outlook)}">'
        paragraphs.append("<p>This page reloads by itself.</p>")
    return _page(words, refresh, "".join(paragraphs) + f"<dl>{rows}</dl>")


def message_page(title: str, text: str) -> str:
    """Return a page that says why there is no order to show."""
    return _page(title, "", f'<p role="status">{escape(text)}</p>')


def _page(title: str, head: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{head}<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{content}</main></body></html>"
    )


def _progress(status: OrderStatus, outlook: Outlook) -> str:
    words = _WORDS[status.state]
    if not status.pending or status.state is _BY_HAND or outlook.usual_s is None:
        return f"{words}."
    usual = _duration(outlook.usual_s)
    if _takes_long(outlook):
        return f"{words}. This takes much longer than usual: usually it is done in {usual}."
    return f"{words}, usually done in {usual}."


def _takes_long(outlook: Outlook) -> bool:
    if outlook.usual_s is None or outlook.so_far_s is None:
        return False
    return outlook.so_far_s > max(
        _MUCH_LONGER * outlook.usual_s, outlook.usual_s + _AT_LEAST_LONGER_S
    )


def _refresh_s(status: OrderStatus, outlook: Outlook) -> int:
    """Return when the page reloads: soon while the next state is near, rarely once it is late."""
    if status.state is _BY_HAND:
        return _BY_HAND_S
    if outlook.usual_s is None or _takes_long(outlook):
        return _SLOWEST_S
    return min(max(_FASTEST_S, ceil(outlook.usual_s)), _SLOWEST_S)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    if seconds < 1.5 * _MINUTE_S:
        return f"{round(seconds)} s"
    return f"{round(seconds / _MINUTE_S)} minutes"
