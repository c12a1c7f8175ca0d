"""What a dashboard is, as data: rows of panels; how it becomes Grafana's JSON is said elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dashboards.model.signal import Signal

Kind = Literal[
    "timeseries", "counts", "stacked", "stat", "heatmap", "table", "timeline", "graph", "funnel"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPanel:
    """A panel of metrics.

    Attributes:
        kind: How it is drawn.
        signals: What it shows; the first one gives its title, unit and thresholds, unless they are
            given here.
        width: In Grafana's grid, which has 24 columns.
        height: In rows of that grid.
        title: In place of the first signal's.
        description: Likewise.
        over: The window of its queries, where that is not the resolution of the graph.
        drill_down: The uid suffix of the dashboard that tells more.
        picks: Labels of the series that one clicks at, which that dashboard is narrowed to.
        column: In a table, what its value is called.
    """

    kind: Kind
    signals: tuple[Signal, ...]
    width: int
    height: int = 8
    title: str = ""
    description: str = ""
    over: str = ""
    drill_down: str = ""
    picks: tuple[str, ...] = ()
    column: str = "Value"


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesPanel:
    """A table of traces, found by TraceQL.

    Attributes:
        title: What traces they are.
        description: What to do with them.
        query: TraceQL, with dashboard variables.
        width: In Grafana's grid.
        height: Likewise.
    """

    title: str
    description: str
    query: str
    width: int = 24
    height: int = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsPanel:
    """Log lines, found by LogQL; attributes as those of `TracesPanel`."""

    title: str
    description: str
    query: str
    width: int = 24
    height: int = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPanel:
    """What people should know beside the figures, as Markdown."""

    title: str
    description: str
    content: str
    width: int = 24
    height: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceView:
    """The waterfall of one trace, whose id the query gives."""

    title: str
    description: str
    query: str
    width: int = 24
    height: int = 12


Panel = SignalPanel | TracesPanel | LogsPanel | TextPanel | TraceView


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A variable that people type into.

    Attributes:
        name: What queries call it.
        label: What people read.
        choices: What there is to choose from, the first one at first; anything, where empty.
    """

    name: str
    label: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading; they flow from left to right in 24 columns."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard.

    Attributes:
        name: What its uid ends with, and its file is called.
        title: What it is called.
        description: Which question it answers.
        variables: The dashboard variables that choose what it shows.
        boxes: Variables that people type into.
        rows: What it shows.
    """

    name: str
    title: str
    description: str
    variables: tuple[str, ...]
    rows: tuple[Row, ...]
    boxes: tuple[Box, ...] = ()

    def numbered(self) -> list[tuple[int, Panel]]:
        """Its panels with their numbers, by which Grafana and links know them."""
        return list(enumerate((panel for row in self.rows for panel in row.panels), start=1))


def title_of(panel: Panel) -> str:
    """What a panel is called."""
    if isinstance(panel, SignalPanel):
        return panel.title or panel.signals[0].title
    return panel.title


def description_of(panel: Panel) -> str:
    """What a panel means."""
    if isinstance(panel, SignalPanel):
        return panel.description or panel.signals[0].description
    return panel.description
