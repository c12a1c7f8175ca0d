"""Sagas and their steps as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from demo_pipeline.report.plain import WIDE, plain_table
from demo_pipeline.report.wording import KEPT, count_or_nothing, percentiles, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from demo_pipeline.report.sagas import Saga, SagaStep

_FIGURES: Final = (
    "started",
    "completed",
    "compensated",
    "failed",
    "overdue",
    "active",
    "p50",
    "p95",
    "p99",
)


def saga_part(sagas: Sequence[Saga], width: int) -> list[RenderableType]:
    """Show sagas and their steps; nothing if there are none."""
    if not sagas:
        return []
    shown: list[RenderableType] = [Text("Sagas (ms)", "bold"), _sagas(sagas, width)]
    shown += [Text(KEPT, "dim"), ""]
    if any(saga.steps for saga in sagas):
        shown += [Text("Saga steps (ms)", "bold"), _steps(sagas, width), ""]
    return shown


def _sagas(sagas: Sequence[Saga], width: int) -> Table:
    names = [Text(printable(saga.name)) for saga in sagas]
    figures = [_figures(saga) for saga in sagas]
    table = plain_table(width, tight=True)
    table.add_column("saga", overflow="fold")
    # A narrow terminal has no room for so many columns: there, each saga is a column.
    for heading in _FIGURES if width >= WIDE else names:
        table.add_column(heading, justify="right", overflow="fold")
    if width >= WIDE:
        for name, row in zip(names, figures, strict=True):
            table.add_row(name, *row)
    else:
        for heading, row in zip(_FIGURES, zip(*figures, strict=True), strict=True):
            table.add_row(heading, *row)
    return table


def _figures(saga: Saga) -> tuple[str | Text, ...]:
    return (
        count_or_nothing(saga.started),
        count_or_nothing(saga.completed),
        count_or_nothing(saga.compensated),
        _bad(saga.failed),
        _bad(saga.overdue),
        count_or_nothing(saga.active),
        *percentiles(saga.duration),
    )


def _steps(sagas: Sequence[Saga], width: int) -> Table:
    table = plain_table(width)
    table.add_column("saga, step", overflow="fold")
    for heading in ("ok", "rejected" if width >= WIDE else "rej.", "error", "p50", "p95"):
        table.add_column(heading, justify="right", no_wrap=True)
    for saga in sagas:
        if saga.steps:
            table.add_row(Text(printable(saga.name)))
        for step in saga.steps:
            table.add_row(_name(step), *_step_figures(step))
    return table


def _name(step: SagaStep) -> Text:
    mark = " (compensation)" if step.compensation else ""
    return Text(f"  {printable(step.name)}{mark}")


def _step_figures(step: SagaStep) -> tuple[str | Text, ...]:
    return (
        count_or_nothing(step.ok),
        count_or_nothing(step.rejected),
        _bad(step.errors),
        *percentiles(step.duration)[:2],
    )


def _bad(number: int) -> Text:
    return Text(count_or_nothing(number), "bold red" if number else "")
