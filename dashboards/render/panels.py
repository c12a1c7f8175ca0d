"""Panels: queries, units, thresholds and links, in one look for all dashboards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import (
    heatmap,
    logs,
    loki,
    nodegraph,
    stat,
    statetimeline,
    table,
    tempo,
    text,
    timeseries,
)
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import DashboardLink, ThresholdsConfig
from grafana_foundation_sdk.builders.heatmap import YAxisConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataTransformerConfig,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.dashboard import (
    Threshold as GrafanaThreshold,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

from dashboards.board import LogsPanel, SignalPanel, TracesPanel
from dashboards.render.variables import LOKI, PROMETHEUS, TEMPO
from dashboards.scope import RATE_INTERVAL, Scope

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import GridPos

    from dashboards.board import Board, Panel
    from dashboards.config import Config
    from dashboards.signal import Signal

_TRACES_AT_MOST: Final = 50
_COLOURS: Final = {"warning": "orange", "critical": "red"}
_INSTANT: Final = frozenset({"stat", "table", "graph"})


def panel_of(panel: Panel, board: Board, config: Config, place: GridPos) -> Any:
    """Make the builder of a panel; a new one each time, because builders can be changed."""
    made: Any
    if isinstance(panel, SignalPanel):
        made = _signals(panel, board, config)
    elif isinstance(panel, TracesPanel):
        made = _traces(panel)
    elif isinstance(panel, LogsPanel):
        made = _logs(panel)
    else:
        made = text.Panel().content(panel.content)
    made.title(title_of(panel)).description(description_of(panel)).grid_pos(place)
    return made


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


def scope_of(panel: SignalPanel, board: Board, config: Config) -> Scope:
    """Where the queries of a panel look."""
    return Scope(
        window=panel.over or RATE_INTERVAL,
        variables=frozenset(board.variables),
        selector=config.selector,
        recorded=config.recording_rules,
    )


def _signals(panel: SignalPanel, board: Board, config: Config) -> Any:
    first = panel.signals[0]
    made: Any = _KINDS[panel.kind]()
    made.datasource(PROMETHEUS).unit(first.unit).thresholds(_thresholds(first))
    scope = scope_of(panel, board, config)
    for number, signal in enumerate(panel.signals):
        made.with_target(_query(signal, scope, panel, number))
    if panel.drill_down:
        made.data_links([_link(panel, board, config)])
    return made


def _query(signal: Signal, scope: Scope, panel: SignalPanel, number: int) -> Dataquery:
    query = (
        Dataquery().datasource(PROMETHEUS).expr(signal.expr(scope)).ref_id(chr(ord("A") + number))
    )
    query.legend_format(signal.legend or "__auto")
    if panel.kind in _INSTANT:
        query.instant()
    else:
        query.range().exemplar(signal.exemplars)
    if panel.kind in {"table", "graph"}:
        query.format(PromQueryFormat.TABLE)
    elif panel.kind == "heatmap":
        query.format(PromQueryFormat.HEATMAP)
    return query


def _thresholds(signal: Signal) -> ThresholdsConfig:
    steps = [GrafanaThreshold(value=None, color="green" if signal.thresholds else "text")]
    steps += [
        GrafanaThreshold(value=step.value, color=_COLOURS[step.level]) for step in signal.thresholds
    ]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _link(panel: SignalPanel, board: Board, config: Config) -> DashboardLink:
    kept = "&".join(f"${{{name}:queryparam}}" for name in board.variables)
    return (
        DashboardLink("Look closer")
        .type(DashboardLinkType.LINK)
        .url(f"/d/{config.prefix}-{panel.drill_down}?${{__url_time_range}}&{kept}")
    )


def _legend() -> VizLegendOptions:
    # The worst one first, with its number: colour alone says nothing.
    return (
        VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
        .sort_by("Max")
        .sort_desc(True)
    )


def _timeseries() -> timeseries.Panel:
    return (
        timeseries.Panel()
        .min(0)
        .fill_opacity(8)
        .line_width(1)
        .thresholds_style(GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
        .legend(_legend())
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )


def _stacked() -> timeseries.Panel:
    return _timeseries().fill_opacity(40).stacking(StackingConfig().mode(StackingMode.NORMAL))


def _stat() -> stat.Panel:
    return (
        stat.Panel()
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .no_value("none")
    )


def _heatmap() -> heatmap.Panel:
    return heatmap.Panel().y_axis(YAxisConfig().unit("s")).show_legend()


def _table() -> table.Panel:
    return table.Panel().with_transformation(
        DataTransformerConfig(
            id_val="organize", options={"excludeByName": {"Time": True}, "renameByName": {}}
        )
    )


def _graph() -> nodegraph.Panel:
    # The panel knows its fields by their names; the value of a query has another one.
    return nodegraph.Panel().with_transformation(
        DataTransformerConfig(
            id_val="renameByRegex", options={"regex": "^Value.*$", "renamePattern": "mainstat"}
        )
    )


def _traces(panel: TracesPanel) -> table.Panel:
    query = (
        tempo.Dataquery()
        .datasource(TEMPO)
        .query_type("traceql")
        .query(panel.query)
        .limit(_TRACES_AT_MOST)
        .table_type(SearchTableType.TRACES)
        .ref_id("A")
    )
    return table.Panel().datasource(TEMPO).with_target(query)


def _logs(panel: LogsPanel) -> logs.Panel:
    query = loki.Dataquery().datasource(LOKI).expr(panel.query).ref_id("A")
    return (
        logs.Panel()
        .datasource(LOKI)
        .with_target(query)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
    )


_KINDS: Final = {
    "timeseries": _timeseries,
    "stacked": _stacked,
    "stat": _stat,
    "heatmap": _heatmap,
    "table": _table,
    "timeline": statetimeline.Panel,
    "graph": _graph,
}
