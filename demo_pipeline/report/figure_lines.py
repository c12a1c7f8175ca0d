"""The figures of a run in a few lines, for a terminal without its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from demo_pipeline.report.wording import counted, human, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from demo_pipeline.report.analysis import Analysis
    from demo_pipeline.report.sagas import Saga


def figure_lines(analysis: Analysis) -> list[Text]:
    """Return end-to-end time, the longest waits, sagas and deliveries, one line each."""
    lines: list[Text] = []
    spread = analysis.end_to_end
    if spread is not None:
        times = (("p50", spread.p50), ("p95", spread.p95), ("max", spread.max))
        lines.append(_line("End to end", (f"{name} {human(value)}" for name, value in times)))
    waited = [(hop.wait.max, hop) for hop in analysis.hops if hop.wait]
    if waited:
        longest, hop = max(waited, key=lambda each: each[0])
        name = f"{printable(hop.reader)} ← {printable(hop.topic)}"
        lines.append(_line("Longest wait", [f"{human(longest)} at {name}"]))
    if analysis.outboxes:
        slowest = max(analysis.outboxes, key=lambda outbox: outbox.delay.max)
        name = f"{printable(slowest.service)} → {printable(slowest.topic)}"
        lines.append(_line("Longest in an outbox", [f"{human(slowest.delay.max)} at {name}"]))
    lines += [_line(f"Saga {printable(saga.name)}", _endings(saga)) for saga in analysis.sagas[:3]]
    return [*lines, _deliveries(analysis), Text("All tables: run with --tables", "dim")]


def _endings(saga: Saga) -> Iterable[str]:
    counts = {
        "completed": saga.completed,
        "compensated": saga.compensated,
        "failed": saga.failed,
        "overdue": saga.overdue,
        "active": saga.active,
    }
    return [f"{number:,} {name}" for name, number in counts.items() if number]


def _deliveries(analysis: Analysis) -> Text:
    figures = (
        (sum(each.retries.total() for each in analysis.deliveries), "retry", "retries"),
        (
            sum(each.duplicates for each in analysis.deliveries),
            "duplicate skipped",
            "duplicates skipped",
        ),
        (sum(each.dead_letters.total() for each in analysis.deliveries), "dead letter", ""),
        (sum(each.out_of_order for each in analysis.deliveries), "out of order", "out of order"),
    )
    if not any(number for number, _, _ in figures):
        return Text("No retries, duplicates, dead letters or records out of order", "dim")
    return _line("Delivery", (counted(*each) for each in figures if each[0]))


def _line(title: str, figures: Iterable[str]) -> Text:
    return Text.assemble((f"{title}: ", "bold"), ", ".join(figures))
