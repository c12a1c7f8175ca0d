"""Sagas and their steps as a section of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demo_pipeline.report.page_table import page_table
from demo_pipeline.report.wording import KEPT, count_or_nothing, escaped, percentiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demo_pipeline.report.sagas import Saga, SagaStep

_TITLE: Final = "sagas-title"
_HEADINGS: Final = (
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


def saga_section(sagas: Sequence[Saga]) -> str:
    """How sagas went, and where on their way they turned back; nothing where there is none."""
    if not sagas:
        return ""
    tables = page_table(
        _TITLE,
        "Sagas by name: how they ended, how many passed their deadline, how many are still "
        f"under way, and how long those that ended took, in ms. {KEPT}",
        _HEADINGS,
        ["".join(map(_saga, sagas))],
    )
    if any(saga.steps for saga in sagas):
        tables += "<h3>Steps</h3>" + page_table(
            _TITLE,
            "The steps of each saga in the order in which they first started, compensations "
            "last: how they ended, and how long they took, in ms.",
            _STEP_HEADINGS,
            [_steps(saga) for saga in sagas if saga.steps],
        )
    return f'<section aria-labelledby="{_TITLE}"><h2 id="{_TITLE}">Sagas</h2>{tables}</section>'


def _saga(saga: Saga) -> str:
    cells = _cells(
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
    cells = _cells(
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


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td>{value}</td>" for value in values)
