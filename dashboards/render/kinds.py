"""The look of each kind of metrics panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    heatmap,
    nodegraph,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    ScaleDistributionConfig,
    StackingConfig,
    TableSortByFieldState,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.heatmap import YAxisConfig
from grafana_foundation_sdk.builders.nodegraph import EdgeOptions, NodeOptions
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    MatcherConfig,
)

from dashboards.model.labels import COLUMN_OF, COMMAND, STOP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dashboards.model.board import Kind, SignalPanel
    from dashboards.model.signal import Level

COLOURS: Final[Mapping[Level, str]] = {"ok": "green", "warning": "orange", "critical": "red"}
QUERIES: Final = "ABCDEFGH"
"""The ids of a panel's queries, in order."""
_COMMAND_WIDTH: Final = 560
_LINEAR_S: Final = 60


def _legend(calculated: str = "lastNotNull", *, sort_by: str = "Max") -> VizLegendOptions:
    # The highest series comes first, with its value: colours alone are hard to read.
    return (
        VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([calculated, "max"])
        .sort_by(sort_by)
        .sort_desc(True)
    )


def _timeseries(panel: SignalPanel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .min(0)
        .fill_opacity(8)
        .line_width(1)
        .show_points(VisibilityMode.AUTO)
        .thresholds_style(GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
        .legend(_legend())
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if panel.far:
        scale = ScaleDistributionConfig().type(ScaleDistribution.SYMLOG)
        made.scale_distribution(scale.log(10).linear_threshold(_LINEAR_S))
    return made


def _counts(panel: SignalPanel) -> timeseries.Panel:
    # Bars, because a line between two counts has no meaning; one on top of the other, because they
    # would hide each other. No threshold lines, because a single
    # rare event already needs attention.
    return (
        _timeseries(panel)
        .draw_style(GraphDrawStyle.BARS)
        .stacking(StackingConfig().mode(StackingMode.NORMAL))
        .fill_opacity(70)
        .legend(_legend("sum", sort_by="Total"))
        .thresholds_style(GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.OFF))
    )


def _stacked(panel: SignalPanel) -> timeseries.Panel:
    return _timeseries(panel).fill_opacity(40).stacking(StackingConfig().mode(StackingMode.NORMAL))


def _stat(_: SignalPanel) -> stat.Panel:
    return (
        stat.Panel()
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )


def _funnel(_: SignalPanel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .min(0)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )


def _heatmap(panel: SignalPanel) -> heatmap.Panel:
    return heatmap.Panel().y_axis(YAxisConfig().unit(panel.signals[0].unit)).show_legend()


def _table(panel: SignalPanel) -> table.Panel:
    if len(panel.signals) == 1:
        values = {"Value": panel.column}
        made = table.Panel()
    else:
        # Prometheus returns a table for each query, whose values have the query's id in their name.
        values = {
            f"Value #{query}": signal.title
            for query, signal in zip(QUERIES, panel.signals, strict=False)
        }
        made = table.Panel().with_transformation(DataTransformerConfig(id_val="merge", options={}))
    columns = {**COLUMN_OF, **values}
    made.sort_by([TableSortByFieldState().display_name([*values.values()][-1]).desc(True)])
    made.with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate(columns)},
                "renameByName": columns,
            },
        )
    )
    for heading, signal in zip(values.values(), panel.signals, strict=True):
        # Only these columns: labels may look like numbers, and have no unit.
        made.override_by_name(heading, [DynamicConfigValue("unit", signal.unit)])
    return made.override_by_name(
        COLUMN_OF[COMMAND], [DynamicConfigValue("custom.width", _COMMAND_WIDTH)]
    )


def _timeline(_: SignalPanel) -> statetimeline.Panel:
    return (
        statetimeline.Panel()
        .merge_values(True)
        .show_value(VisibilityMode.AUTO)
        .legend(VizLegendOptions().show_legend(False))
    )


def _graph(panel: SignalPanel) -> nodegraph.Panel:
    unit = panel.signals[0].unit
    made = (
        nodegraph.Panel()
        .nodes(NodeOptions().main_stat_unit(unit))
        .edges(EdgeOptions().main_stat_unit(unit))
    )
    for query in QUERIES[: len(panel.signals)]:
        # The panel finds fields by name, and a rename changes only their title. One transformation
        # for each query, because a shared one would join them.
        made.with_transformation(
            DataTransformerConfig(
                id_val="calculateField",
                filter_val=MatcherConfig(id_val="byRefId", options=query),
                options={
                    "mode": "reduceRow",
                    "reduce": {"reducer": "sum"},
                    "alias": "mainstat",
                    "replaceFields": False,
                },
            )
        )
    return made


def _waterfall(panel: SignalPanel) -> barchart.Panel:
    # Prometheus returns a column for each query, which has the query's id in its name.
    columns = {
        f"Value #{query}": signal.title
        for query, signal in zip(QUERIES, panel.signals, strict=False)
    }
    before = panel.signals[0].title
    invisible = {"mode": "fixed", "fixedColor": "transparent"}
    return (
        barchart.Panel()
        .orientation(VizOrientation.HORIZONTAL)
        .stacking(StackingMode.NORMAL)
        .show_value(VisibilityMode.NEVER)
        .x_field(STOP)
        .bar_width(0.9)
        .fill_opacity(80)
        .legend(VizLegendOptions().placement(LegendPlacement.BOTTOM).show_legend(True))
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": {name: place for place, name in enumerate((STOP, *columns))},
                    "renameByName": columns,
                },
            )
        )
        .with_transformation(
            DataTransformerConfig(
                id_val="sortBy", options={"fields": {}, "sort": [{"field": before, "desc": False}]}
            )
        )
        .override_by_name(
            before,
            [
                DynamicConfigValue("color", invisible),
                DynamicConfigValue("custom.lineWidth", 0),
                DynamicConfigValue("custom.fillOpacity", 0),
                DynamicConfigValue(
                    "custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}
                ),
            ],
        )
    )


KINDS: Final[Mapping[Kind, Callable[[SignalPanel], Any]]] = {
    "timeseries": _timeseries,
    "counts": _counts,
    "stacked": _stacked,
    "stat": _stat,
    "heatmap": _heatmap,
    "table": _table,
    "timeline": _timeline,
    "graph": _graph,
    "funnel": _funnel,
    "waterfall": _waterfall,
}
