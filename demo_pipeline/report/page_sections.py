"""Sections of the page: sagas with their steps, and retries, duplicates, dead letters and order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demo_pipeline.report.markup import html_cells, html_table
from demo_pipeline.report.wording import (
    KEPT,
    LIST_DEAD_LETTERS,
    NOTHING,
    by_error,
    count_or_nothing,
    counted,
    escaped,
    percentiles,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo_pipeline.report.analysis import Analysis
    from demo_pipeline.report.delivery import DeadLetterKind, Delivery
    from demo_pipeline.report.message_map import MappedTopic
    from demo_pipeline.report.sagas import Saga, SagaStep

_SAGA_TITLE: Final = "sagas-title"
_SAGA_HEADINGS: Final = (
    "Saga",
    "Started",
    "Completed",
    "Compensated",
    "Failed",
    "Overdue",
    "Active",
    "p50",
    "p95",
    "p99",
)
_STEP_HEADINGS: Final = ("Step", "Ok", "Rejected", "Error", "p50", "p95")
_MESSAGES_TITLE: Final = "messages-title"
_MESSAGE_HEADINGS: Final = ("Topic", "Kind", "Sent by", "Read by", "Types")
_DELIVERY_TITLE: Final = "delivery-title"
_DELIVERY_HEADINGS: Final = (
    "Service ← topic",
    "Retries",
    "Recovered",
    "Duplicates skipped",
    "Dead letters",
    "Out of order",
)
_DEAD_LETTER_HEADINGS: Final = ("Dead-letter topic", "Error", "Count", "Trace of one")


def saga_section(sagas: Sequence[Saga]) -> str:
    """Return the section on sagas and their steps; empty if there are none."""
    if not sagas:
        return ""
    tables = html_table(
        _SAGA_TITLE,
        "Sagas by name: how they ended, how many missed their deadline, how many are still "
        f"active, and how long the ended ones took, in ms. {KEPT}",
        _SAGA_HEADINGS,
        ["".join(map(_saga, sagas))],
    )
    if any(saga.steps for saga in sagas):
        tables += "<h3>Steps</h3>" + html_table(
            _SAGA_TITLE,
            "The steps of each saga in the order of their first starts, then its compensations: "
            "how they ended, and how long they took, in ms.",
            _STEP_HEADINGS,
            [_steps(saga) for saga in sagas if saga.steps],
        )
    return (
        f'<section aria-labelledby="{_SAGA_TITLE}">'
        f'<h2 id="{_SAGA_TITLE}">Sagas</h2>{tables}</section>'
    )


def _saga(saga: Saga) -> str:
    cells = html_cells(
        (
            count_or_nothing(saga.started),
            count_or_nothing(saga.completed),
            count_or_nothing(saga.compensated),
            _bad(saga.failed),
            _bad(saga.overdue),
            count_or_nothing(saga.active),
            *percentiles(saga.duration),
        )
    )
    return f'<tr><th scope="row">{escaped(saga.name)}</th>{cells}</tr>'


def _steps(saga: Saga) -> str:
    return (
        f'<tr><th scope="rowgroup" colspan="{len(_STEP_HEADINGS)}">{escaped(saga.name)}</th></tr>'
        + "".join(map(_step, saga.steps))
    )


def _step(step: SagaStep) -> str:
    mark = ' <span class="flag calm">compensation</span>' if step.compensation else ""
    cells = html_cells(
        (
            count_or_nothing(step.ok),
            count_or_nothing(step.rejected),
            _bad(step.errors),
            *percentiles(step.duration)[:2],
        )
    )
    return f'<tr><th scope="row" class="within">{escaped(step.name)}{mark}</th>{cells}</tr>'


def _bad(number: int) -> str:
    shown = count_or_nothing(number)
    return f"<strong>{shown}</strong>" if number else shown


def message_section(topics: Sequence[MappedTopic]) -> str:
    """Return the section on who sends what to which; empty without messages."""
    if not topics:
        return ""
    faults = "".join(f"<li>{escaped(topic.fault)}</li>" for topic in topics if topic.fault)
    table = html_table(
        _MESSAGES_TITLE,
        "Topics with their senders and readers, and the types of what was sent. A command has one "
        "receiver; an event has any number.",
        _MESSAGE_HEADINGS,
        ["".join(map(_mapped, topics))],
    )
    verdict = f'<div class="verdict bad">Commands with several receivers<ul>{faults}</ul></div>'
    return (
        f'<section aria-labelledby="{_MESSAGES_TITLE}">'
        f'<h2 id="{_MESSAGES_TITLE}">Messages</h2>{verdict if faults else ""}{table}</section>'
    )


def _mapped(topic: MappedTopic) -> str:
    types = ", ".join(f"{name} {count:,}" for name, count in topic.types)
    names = (topic.kind, ", ".join(topic.senders), ", ".join(topic.readers), types)
    cells = html_cells(escaped(name) or NOTHING for name in names)
    return f'<tr><th scope="row">{escaped(topic.topic)}</th>{cells}</tr>'


def delivery_section(analysis: Analysis) -> str:
    """Return the section on retries, duplicates, dead letters and order; else one sentence."""
    if not analysis.deliveries:
        return '<p class="quiet">No retries, duplicates, dead letters or records out of order.</p>'
    section = html_table(
        _DELIVERY_TITLE,
        "Attempts after a failed one, records that succeeded at a later attempt, records skipped "
        "because they had been applied before, records moved to a dead-letter topic, and records "
        "handled out of the order of their key: it was last handled in another partition, or with "
        "a newer event.",
        _DELIVERY_HEADINGS,
        ["".join(map(_delivery, analysis.deliveries))],
    )
    if not analysis.dead_letters:
        return section
    lost = sum(report.dead_lettered for report in analysis.orders)
    return (
        section
        + "<h3>Dead letters</h3>"
        + html_table(
            _DELIVERY_TITLE,
            f"Records moved to a dead-letter topic; {counted(lost, 'order')} affected.",
            _DEAD_LETTER_HEADINGS,
            ["".join(map(_dead_letter, analysis.dead_letters))],
        )
        + '<p class="quiet">On a permanent cluster, list them with '
        f"<code>{LIST_DEAD_LETTERS}</code></p>"
    )


def _delivery(delivery: Delivery) -> str:
    recovered = f"{delivery.recovered:,}" if delivery.retries else NOTHING
    duplicates = f"{delivery.duplicates:,}" if delivery.duplicates else NOTHING
    errors = escaped(by_error(delivery.dead_letters))
    dead_letters = f"<strong>{errors}</strong>" if errors else NOTHING
    return (
        f'<tr><th scope="row">{escaped(delivery.reader)} '
        f'<span class="from">← {escaped(delivery.topic)}</span></th>'
        f"<td>{escaped(by_error(delivery.retries)) or NOTHING}</td><td>{recovered}</td>"
        f"<td>{duplicates}</td><td>{dead_letters}</td><td>{_bad(delivery.out_of_order)}</td></tr>"
    )


def _dead_letter(kind: DeadLetterKind) -> str:
    trace = NOTHING
    if kind.trace_id is not None:
        trace_id = f"{kind.trace_id:032x}"
        # The script shows the button if the page has the trace.
        trace = (
            f"<code>{trace_id}</code> "
            f'<button type="button" class="copy" data-trace="{trace_id}" hidden '
            f'aria-label="Show trace {trace_id}">Show</button>'
        )
    return (
        f'<tr><th scope="row">{escaped(kind.topic)}</th><td>{escaped(kind.error)}</td>'
        f"<td>{kind.count:,}</td><td>{trace}</td></tr>"
    )
