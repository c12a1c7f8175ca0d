"""Retries, duplicates and dead letters as a section of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demo_pipeline.report.delivery_table import HOW_TO_LOOK
from demo_pipeline.report.page_table import page_table
from demo_pipeline.report.wording import NOTHING, by_error, escaped

if TYPE_CHECKING:
    from demo_pipeline.report.delivery import Delivery
    from demo_pipeline.report.letters import LetterKind
    from demo_pipeline.report.model import Analysis

_TITLE: Final = "delivery-title"
_HEADINGS: Final = ("Service ← topic", "Retries", "Recovered", "Duplicates skipped", "Dead letters")
_LETTER_HEADINGS: Final = ("Dead-letter topic", "Error", "Count", "Trace of one")


def delivery_section(analysis: Analysis) -> str:
    """What did not just go through; one sentence where everything did."""
    if not analysis.deliveries:
        return '<p class="quiet">No retries, duplicates or dead letters.</p>'
    section = page_table(
        _TITLE,
        "What did not just go through: attempts after a failed one, records that went through at "
        "a later one, records skipped because they had been applied before, and those given up.",
        _HEADINGS,
        ["".join(map(_delivery, analysis.deliveries))],
    )
    if not analysis.letters:
        return section
    lost = sum(report.given_up for report in analysis.orders)
    return (
        section
        + "<h3>Dead letters</h3>"
        + page_table(
            _TITLE,
            f"Records given up, of {lost:,} of the orders.",
            _LETTER_HEADINGS,
            ["".join(map(_letter, analysis.letters))],
        )
        + '<p class="quiet">On a cluster that stays, look at them with '
        f"<code>{HOW_TO_LOOK}</code></p>"
    )


def _delivery(delivery: Delivery) -> str:
    recovered = f"{delivery.recovered:,}" if delivery.retries else NOTHING
    duplicates = f"{delivery.duplicates:,}" if delivery.duplicates else NOTHING
    letters = escaped(by_error(delivery.dead_letters))
    letters = f"<strong>{letters}</strong>" if letters else NOTHING
    return (
        f'<tr><th scope="row">{escaped(delivery.reader)} '
        f'<span class="from">← {escaped(delivery.topic)}</span></th>'
        f"<td>{escaped(by_error(delivery.retries)) or NOTHING}</td><td>{recovered}</td>"
        f"<td>{duplicates}</td><td>{letters}</td></tr>"
    )


def _letter(kind: LetterKind) -> str:
    trace = NOTHING
    if kind.trace_id is not None:
        trace_id = f"{kind.trace_id:032x}"
        # The script shows the button if it knows the trace.
        trace = (
            f"<code>{trace_id}</code> "
            f'<button type="button" class="copy" data-trace="{trace_id}" hidden '
            f'aria-label="Show trace {trace_id}">Show</button>'
        )
    return (
        f'<tr><th scope="row">{escaped(kind.topic)}</th><td>{escaped(kind.error)}</td>'
        f"<td>{kind.count:,}</td><td>{trace}</td></tr>"
    )
