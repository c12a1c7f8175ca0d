"""A dashboard as data: rows of panels. `dashboards.render` turns it into Grafana's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from dashboards.model.signal import Signal

Kind = Literal[
    "timeseries",
    "counts",
    "stacked",
    "stat",
    "heatmap",
    "table",
    "timeline",
    "graph",
    "funnel",
    "waterfall",
]

SERVICE_NAME: Final = "service_name"
"""The variable with the chosen services as traces name them, without a namespace."""
CHOSEN_SERVICE: Final = (
    "(resource.service.name =~ `${service:regex}` || "
    f"resource.service.name =~ `${{{SERVICE_NAME}:regex}}`)"
)
"""TraceQL for spans of the chosen services; the first part matches all if all are chosen.

Grafana puts values into TraceQL as they are, so a regular expression asks for them as such, and
stands in backticks, in which quotes and backslashes are themselves.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPanel:
    """A panel of metrics.

    Attributes:
        kind: The way it is drawn.
        signals: The signals to show. The first one sets unit and thresholds, and the title and
            description unless they are set here.
        width: Columns of Grafana's grid, which has 24.
        height: Rows of that grid.
        title: Title in place of the first signal's.
        description: Description in place of the first signal's.
        over: Window of its queries, if it differs from the graph's resolution.
        drill_down: Name of the dashboard with more detail.
        picks: Labels of the clicked series that select what that dashboard shows.
        column: In a table of one signal, the heading of the value. Of several, their titles are
            the headings.
        far: In a graph, whether one value may be far above all others, as "never" is. Above a
            minute, each step of the axis is then ten times the one below.
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
    far: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesPanel:
    """A table of traces.

    Attributes:
        title: The title.
        description: What the traces have in common.
        query: TraceQL, with dashboard variables.
        width: Columns of Grafana's grid.
        height: Rows of Grafana's grid.
    """

    title: str
    description: str
    query: str
    width: int = 24
    height: int = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsPanel:
    """Log lines; the query is LogQL, the other attributes are as in `TracesPanel`."""

    title: str
    description: str
    query: str
    width: int = 24
    height: int = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPanel:
    """A text in Markdown."""

    title: str
    description: str
    content: str
    width: int = 24
    height: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceView:
    """The waterfall of one trace; the query is its id."""

    title: str
    description: str
    query: str
    width: int = 24
    height: int = 12


Panel = SignalPanel | TracesPanel | LogsPanel | TextPanel | TraceView


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A variable that users type or choose.

    Attributes:
        name: Its name in queries.
        label: Its name on the dashboard.
        choices: The choices, the first one preselected; empty for free text.
        values_of: A label of the end-to-end lag, whose values are the choices.
    """

    name: str
    label: str
    choices: tuple[str, ...] = ()
    values_of: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, placed from left to right in 24 columns."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard.

    Attributes:
        name: The end of its uid, and the name of its file.
        title: The title, without the configured prefix.
        description: The question that it answers.
        variables: The dashboard variables that filter it by a label.
        boxes: The variables that users type or choose.
        rows: The rows of panels.
    """

    name: str
    title: str
    description: str
    variables: tuple[str, ...]
    rows: tuple[Row, ...]
    boxes: tuple[Box, ...] = ()

    def numbered(self) -> list[tuple[int, Panel]]:
        """Return the panels with their numbers, which Grafana and links use as ids."""
        return list(enumerate((panel for row in self.rows for panel in row.panels), start=1))


def title_of(panel: Panel) -> str:
    """Return a panel's title."""
    if isinstance(panel, SignalPanel):
        return panel.title or panel.signals[0].title
    return panel.title


def description_of(panel: Panel) -> str:
    """Return a panel's description."""
    if isinstance(panel, SignalPanel):
        return panel.description or panel.signals[0].description
    return panel.description
