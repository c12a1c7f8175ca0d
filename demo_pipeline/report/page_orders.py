"""The parts of the page's section on orders that need no script."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from demo_pipeline.report.order_state import OrderState, is_troubled, state_of
from demo_pipeline.report.page_data import MOST_ORDERS
from demo_pipeline.report.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo_pipeline.report.analysis import Analysis
    from demo_pipeline.report.model import OrderReport


def troubled_tile(orders: Sequence[OrderReport]) -> str:
    """Return the number of orders that need a person, with a link to them; empty for none."""
    troubled = sum(map(is_troubled, orders))
    if not troubled:
        return ""
    return (
        '<div class="bad"><dt>Failed or unfinished</dt>'
        f'<dd><a href="#state=troubled">{troubled:,}</a></dd></div>'
    )


def state_options(orders: Sequence[OrderReport]) -> str:
    """Return the choices of the filter: all, those that need a person, and each state there is."""
    counts = Counter(map(state_of, orders))
    choices = [("", "all", len(orders))]
    choices += [("troubled", "failed or unfinished", sum(map(is_troubled, orders)))]
    choices += [(state.value, state.value, counts[state]) for state in OrderState if counts[state]]
    return "".join(
        f'<option value="{value}">{name} ({count:,})</option>' for value, name, count in choices
    )


def left_out_note(analysis: Analysis) -> str:
    """Say how many orders the page leaves out; empty for none."""
    left_out = len(analysis.orders) - MOST_ORDERS
    if left_out <= 0:
        return ""
    return (
        f'<p class="quiet">This page has the {MOST_ORDERS:,} orders that failed, are unfinished or '
        f"were slowest. {counted(left_out, 'more order')} can be found in "
        "<code>traces.jsonl</code>.</p>"
    )
