"""Panels: queries, units, thresholds and links, the same on all dashboards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import dashboard, logs, loki, table, tempo, text
from grafana_foundation_sdk.builders.dashboard import DashboardLink, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DynamicConfigValue,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.dashboard import (
    Threshold as GrafanaThreshold,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

from dashboards.durations import step_of
from dashboards.model.board import (
    LogsPanel,
    SignalPanel,
    TracesPanel,
    TraceView,
    description_of,
    title_of,
)
from dashboards.model.labels import COLUMN_OF, COMMAND, GROUP, PIPELINE, TOPIC, VARIABLE_OF
from dashboards.model.promql import RATE_INTERVAL, STEP, Scope, aggregate
from dashboards.model.series import labels_of
from dashboards.render.kinds import COLOURS, KINDS, QUERIES
from dashboards.render.variables import LOKI, PROMETHEUS, TEMPO
from tracing.metrics.catalog import METRICS

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import GridPos

    from dashboards.config import Config
    from dashboards.model.board import Board, Panel
    from dashboards.model.signal import Signal
    from tracing.metrics.metric import Metric

_NONE: Final = "none"
_LABEL: Final = re.compile(r"\{\{(\w+)\}\}")
_COUNTS: Final = frozenset({"locale", "recps", "cps"})
# These have no series for nothing.
_WITHOUT_NONE: Final = frozenset({"graph", "heatmap", "waterfall"})
_MAX_TRACES: Final = 50
SHARED: Final = "Figures of a hop that several pipelines share are those of all of them."
"""What panels say of metrics that do not have the pipeline, where one can be chosen."""
_TABLES: Final = frozenset({"table", "graph", "waterfall"})
_INSTANT: Final = _TABLES | {"stat", "funnel"}


def panel_of(panel: Panel, board: Board, config: Config, place: GridPos) -> Any:
    """Return a new builder of a panel; builders are mutable, so none is shared."""
    made: Any
    if isinstance(panel, SignalPanel):
        made = _signals(panel, board, config)
    elif isinstance(panel, TracesPanel):
        made = _traces(panel)
    elif isinstance(panel, LogsPanel):
        made = _logs(panel)
    elif isinstance(panel, TraceView):
        made = _trace(panel)
    else:
        made = text.Panel().content(panel.content)
    made.title(title_of(panel)).description(_description(panel, board, config)).grid_pos(place)
    return made


def _description(panel: Panel, board: Board, config: Config) -> str:
    """Return a panel's description; with what a chosen pipeline cannot filter, if that matters."""
    described = description_of(panel)
    if not isinstance(panel, SignalPanel) or VARIABLE_OF[PIPELINE] not in board.variables:
        return described
    scope = scope_of(panel, board, config)
    queries = " ".join(signal.expr(scope) for signal in panel.signals)
    shared = any(metric.prometheus in queries for metric in METRICS if _is_of_hops_only(metric))
    return f"{described} {SHARED}" if shared else described


def _is_of_hops_only(metric: Metric) -> bool:
    labels = labels_of(metric)
    return bool(labels & {GROUP, TOPIC}) and PIPELINE not in labels


def scope_of(panel: SignalPanel, board: Board, config: Config) -> Scope:
    """Return the scope of a panel's queries."""
    window = STEP if panel.kind == "counts" else RATE_INTERVAL
    return Scope.of(config, window=panel.over or window, variables=board.variables)


def expressions_of(panel: SignalPanel, board: Board, config: Config) -> list[str]:
    """Return a panel's queries. The first one has a result while it would have been measured."""
    scope = scope_of(panel, board, config)
    queries = [signal.expr(scope) for signal in panel.signals]
    first = panel.signals[0]
    if first.reporter is None or panel.kind in _WITHOUT_NONE:
        return queries
    none = f"{_nothing(panel)} * {aggregate('group', (), scope.select(first.reporter))}"
    labels = _LABEL.findall(first.legend)
    if labels:
        none = f'label_replace({none}, "{labels[0]}", "{_NONE}", "", "")'
    return [f"{queries[0]} or on () {none}", *queries[1:]]


def _nothing(panel: SignalPanel) -> str:
    """Return the value that says that there was nothing: a line at 0 would be a duration of 0."""
    first = panel.signals[0]
    if first.nothing is not None:
        return f"{first.nothing:g}"
    return "0" if first.unit in _COUNTS or panel.kind in _INSTANT else "NaN"


def _signals(panel: SignalPanel, board: Board, config: Config) -> Any:
    first = panel.signals[0]
    made: Any = KINDS[panel.kind](panel)
    made.datasource(PROMETHEUS).thresholds(_thresholds(first))
    if panel.kind not in {"heatmap", "table"}:  # the axis or a column has the unit
        made.unit(first.unit)
        if first.unit == "locale":
            made.decimals(0)
    if first.mappings:
        made.mappings([_value_map(first)])
    if panel.kind == "table":
        # In cells without a value, it would stand as well.
        made.no_value(first.empty).override_by_name(
            COLUMN_OF[COMMAND], [DynamicConfigValue("noValue", " ")]
        )
    elif panel.kind != "graph":  # which has a text of its own
        made.no_value(first.empty)
    if (none := _LABEL.sub("", _LABEL.sub(_NONE, first.legend, count=1))) != first.legend:
        made.override_by_name(none, [DynamicConfigValue("displayName", _NONE)])
    for number, expr in enumerate(expressions_of(panel, board, config)):
        query = _query(expr, panel.signals[number], panel)
        made.with_target(query.ref_id(QUERIES[number]).interval(step_of(config.min_step)))
    if panel.drill_down:
        made.data_links([_link(panel, board, config)])
    return made


def _query(expr: str, signal: Signal, panel: SignalPanel) -> Dataquery:
    query = Dataquery().datasource(PROMETHEUS).expr(expr)
    query.legend_format(signal.legend or "__auto")
    if panel.kind in _INSTANT:
        query.instant()
    else:
        query.range().exemplar(signal.exemplars)
    if panel.kind in _TABLES:
        query.format(PromQueryFormat.TABLE)
    elif panel.kind == "heatmap":
        query.format(PromQueryFormat.HEATMAP)
    return query


def _thresholds(signal: Signal) -> ThresholdsConfig:
    lowest = COLOURS[signal.below] if signal.thresholds else "text"
    steps = [GrafanaThreshold(value=None, color=lowest)]
    steps += [
        GrafanaThreshold(value=step.value, color=COLOURS[step.level]) for step in signal.thresholds
    ]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _value_map(signal: Signal) -> ValueMap:
    return ValueMap(
        {
            str(mapping.value): ValueMappingResult(
                text=mapping.text, color=COLOURS[mapping.level], index=number
            )
            for number, mapping in enumerate(signal.mappings)
        }
    )


def _link(panel: SignalPanel, board: Board, config: Config) -> DashboardLink:
    picked = {VARIABLE_OF[label]: label for label in panel.picks}
    kept = [
        f"${{{name}:queryparam}}" for name in ("prometheus", *board.variables) if name not in picked
    ]
    # As it is, a value with & or # would end the parameter or the address.
    chosen = [
        f"var-{name}=${{__field.labels.{label}:percentencode}}" for name, label in picked.items()
    ]
    return (
        DashboardLink(f"Open {panel.drill_down.replace('-', ' ')}")
        .type(DashboardLinkType.LINK)
        .url(
            f"/d/{config.prefix}-{panel.drill_down}?"
            + "&".join(["${__url_time_range}", *kept, *chosen])
        )
    )


def _traces(panel: TracesPanel) -> table.Panel:
    query = (
        tempo.Dataquery()
        .datasource(TEMPO)
        .query_type("traceql")
        .query(panel.query)
        .limit(_MAX_TRACES)
        .table_type(SearchTableType.TRACES)
        .ref_id("A")
    )
    return table.Panel().datasource(TEMPO).with_target(query)


def _trace(panel: TraceView) -> dashboard.Panel:
    query = tempo.Dataquery().datasource(TEMPO).query_type("traceql").query(panel.query)
    return dashboard.Panel().type("traces").datasource(TEMPO).with_target(query.ref_id("A"))


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
