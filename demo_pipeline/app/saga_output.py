"""Printing sagas on the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.text import Text

from demo_pipeline.report.plain import WIDE, list_width, plain_table, print_plainly
from demo_pipeline.report.wording import NOTHING, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType
    from rich.table import Table

    from demo_pipeline.app.saga_status import SagaStatus, StepStatus

_BAD: Final = frozenset({"failed", "error"})
_SECONDS_PER_MINUTE: Final = 60


def print_sagas(sagas: Sequence[SagaStatus], console: Console) -> None:
    """Print one line per saga."""
    if not sagas:
        console.print("no sagas found")
        return
    width = list_width(console)
    table = plain_table(width, tight=True)
    # Never wrapped, so that it can be copied.
    table.add_column("saga id", no_wrap=width >= WIDE, overflow="fold")
    for heading in ("state", "started", "age", "overdue", "reason"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "age" else "left")
    for saga in sagas:
        table.add_row(
            Text(printable(saga.saga_id)),
            _word(saga.state),
            _clock(saga.started),
            _span(saga.age_s),
            Text("overdue", "bold red") if saga.overdue else NOTHING,
            Text(printable(saga.reason or NOTHING)),
        )
    print_plainly(console, table, width)


def print_saga(saga: SagaStatus, console: Console) -> None:
    """Print one saga in detail."""
    width = list_width(console)
    parts: list[RenderableType] = [
        Text.assemble(
            (f"{printable(saga.saga)} ", "bold"),
            (printable(saga.saga_id), "bold"),
            " · ",
            _word(saga.state),
            *((" · ", ("overdue", "bold red")) if saga.overdue else ()),
        ),
        Text(
            f"started {saga.started or NOTHING} · deadline {saga.deadline or NOTHING} · "
            f"{'ended ' + saga.ended if saga.ended else 'still active'} · "
            f"{_span(saga.age_s)}"
        ),
        Text(f"trace {saga.trace_id or NOTHING}"),
    ]
    if saga.reason:
        parts.append(Text(f"reason: {printable(saga.reason)}"))
    parts += ["", _steps(saga.steps, width)]
    if saga.to_undo:
        parts += [
            "",
            Text(f"It needs a human. Not compensated: {', '.join(saga.to_undo)}.", "bold red"),
            Text("To see the dead-lettered commands: python -m tracing dlq list"),
        ]
    print_plainly(console, Group(*parts), width)


def _steps(steps: Sequence[StepStatus], width: int) -> Table:
    table = plain_table(width, tight=True)
    for heading in ("step", "command", "started", "took", "outcome"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "took" else "left")
    for step in steps:
        times = f", {step.attempts} times" if step.attempts > 1 else ""
        table.add_row(
            Text(printable(step.step) + (" (compensation)" if step.compensation else "")),
            Text((step.command or NOTHING) + times),
            _clock(step.started or step.ended),
            _span(step.took_s),
            _word(step.outcome or "in progress"),
        )
    return table


def _word(word: str) -> Text:
    return Text(printable(word), "bold red" if word in _BAD else "")


def _clock(moment: str | None) -> str:
    if moment is None:
        return NOTHING
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M:%S}"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds < _SECONDS_PER_MINUTE:
        return f"{seconds:.3f} s"
    minutes, rest = divmod(int(seconds), _SECONDS_PER_MINUTE)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
