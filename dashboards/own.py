"""What users add to the dashboards and alerts: signals, and the panels and alerts made of them."""

from __future__ import annotations

from typing import Literal

import msgspec

OwnKind = Literal["timeseries", "counts", "stacked", "stat", "table"]


class OwnThreshold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value, in the signal's unit, from which a level applies."""

    value: float
    level: Literal["ok", "warning", "critical"]


class OwnSignal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measurement.

    Attributes:
        name: By which panels and alerts refer to it.
        title: The title of its panels.
        description: What it means, and how to act on it.
        query: PromQL. `$window` stands for the window of rates, `$selector` for the matchers of the
            configured selector. Panels may use the variables of their dashboard, alerts none.
        unit: Grafana's name of the unit.
        legend: The legend of its series, in Grafana's `{{label}}` notation.
        thresholds: Values from which a level applies, in ascending order.
    """

    name: str
    title: str
    description: str
    query: str
    unit: str = "short"
    legend: str = ""
    thresholds: tuple[OwnThreshold, ...] = ()


class OwnBoard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dashboard of its own.

    Attributes:
        name: The end of its uid, and the name of its file.
        title: The title, without the configured prefix.
        description: The question that it answers.
        variables: The variables that filter it, such as `service`.
    """

    name: str
    title: str
    description: str
    variables: tuple[str, ...] = ()


class OwnPanel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A panel.

    Attributes:
        signal: The name of the signal.
        board: The name of the dashboard, one of these or of the user's.
        row: The heading of its row, at the end of the dashboard unless it has such a row.
        kind: The way it is drawn.
        width: Columns of Grafana's grid, which has 24.
        height: Rows of that grid.
    """

    signal: str
    board: str
    row: str = "Our own"
    kind: OwnKind = "timeseries"
    width: int = 12
    height: int = 8


class OwnAlert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert; its link opens the first panel of its signal.

    Attributes:
        name: The name.
        signal: The name of the signal.
        above: The value above which it fires.
        severity: `critical` wakes a person up.
        summary: One line, with labels as `{{ $labels.name }}`.
        description: What it means, with the same notation.
        runbook: What to do, in Markdown.
        wait: How long the value must be above.
        labels: The labels of the signal by which the link filters the dashboard.
    """

    name: str
    signal: str
    above: float
    severity: Literal["critical", "warning"]
    summary: str
    description: str
    runbook: str
    wait: str = "5m"
    labels: tuple[str, ...] = ()


class Own(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a user adds."""

    boards: tuple[OwnBoard, ...] = ()
    signals: tuple[OwnSignal, ...] = ()
    panels: tuple[OwnPanel, ...] = ()
    alerts: tuple[OwnAlert, ...] = ()
