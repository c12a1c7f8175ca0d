"""What a rule is, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]
"""`critical` is for somebody who is woken up, `warning` for working hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A query whose result is kept as a series of its own.

    Attributes:
        record: The name, as Prometheus advises: `level:metric:operations`.
        expr: PromQL.
        slow: Whether it looks at so long a time that it need not be asked often.
    """

    record: str
    expr: str
    slow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that somebody has to look at.

    Attributes:
        name: What it is called, in the runbook as well.
        expr: PromQL; it fires for each series that this gives.
        wait: For how long it has to hold before it fires.
        severity: Who is to hear of it, and when.
        summary: One line, with labels as `{{ $labels.name }}`.
        description: What it means and what to do first, likewise.
        board: The dashboard on which to look, by name.
        panel: The panel of that dashboard, by title.
        labels: What its series are told apart by.
    """

    name: str
    expr: str
    wait: str
    severity: Severity
    summary: str
    description: str
    board: str
    panel: str
    labels: tuple[str, ...] = ()
