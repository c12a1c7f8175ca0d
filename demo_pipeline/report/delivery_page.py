"""Retries, duplicates and dead letters as a section of the page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.delivery_table import by_error

if TYPE_CHECKING:
    from demo_pipeline.report.delivery import Delivery
    from demo_pipeline.report.model import Analysis

_NAMED: Final = 20


def delivery_section(analysis: Analysis) -> str:
    """What did not just go through; one sentence where everything did."""
    if not analysis.deliveries:
        return '<p class="quiet">No retries, no duplicates, no dead letters.</p>'
    lost = [report.order.order_id for report in analysis.orders if report.given_up]
    return (
        '<div class="scroll" role="region" aria-labelledby="delivery-title" tabindex="0"><table>'
        "<caption>What did not just go through, by error.</caption><thead><tr>"
        '<th scope="col">Group ← topic</th><th scope="col">Retries</th>'
        '<th scope="col">Duplicates skipped</th><th scope="col">Dead letters</th></tr></thead>'
        f"<tbody>{''.join(map(_row, analysis.deliveries))}</tbody></table></div>{_orders(lost)}"
    )


def _row(delivery: Delivery) -> str:
    duplicates = f"{delivery.duplicates:,}" if delivery.duplicates else ""
    letters = escape(by_error(delivery.dead_letters))
    return (
        f'<tr><th scope="row">{escape(delivery.group)} '
        f'<span class="from">← {escape(delivery.topic)}</span></th>'
        f"<td>{escape(by_error(delivery.retries))}</td><td>{duplicates}</td>"
        f"<td>{letters and f'<strong>{letters}</strong>'}</td></tr>"
    )


def _orders(lost: list[str]) -> str:
    if not lost:
        return ""
    shown = ", ".join(f"<code>{escape(order_id)}</code>" for order_id in lost[:_NAMED])
    more = f" and {len(lost) - _NAMED:,} more" if len(lost) > _NAMED else ""
    return f"<p>Orders with a dead letter, to be looked up below: {shown}{more}.</p>"
