"""Panels: queries, units, thresholds and links, the same on all dashboards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import dashboard, logs, loki, table, tempo, text
from grafana_foundation_sdk.builders.dashboard import DashboardLink, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.dashboard import (
    Threshold as GrafanaThreshold,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

from dashboards.model.board import (
    LogsPanel,
    SignalPanel,
    TracesPanel,
    TraceView,
    description_of,
    title_of,
)
from dashboards.model.labels import VARIABLE_OF
from dashboards.model.promql import RATE_INTERVAL, STEP, Scope, aggregate
from dashboards.render.kinds import COLOURS, KINDS, NO_DATA, QUERIES
from dashboards.render.variables import LOKI, PROMETHEUS, TEMPO

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import GridPos

    from dashboards.config import Config
    from dashboards.model.board import Board, Panel
    from dashboards.model.signal import Signal

_NONE: Final = "none"
_NOTHING_REPORTS: Final = "nothing reports"
_MAX_TRACES: Final = 50
_INSTANT: Final = frozenset({"stat", "table", "graph", "funnel"})


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
    made.title(title_of(panel)).description(description_of(panel)).grid_pos(place)
    return made


def scope_of(panel: SignalPanel, board: Board, config: Config) -> Scope:
    """Return the scope of a panel's queries."""
    window = STEP if panel.kind == "counts" else RATE_INTERVAL
    return Scope.of(config, window=panel.over or window, variables=board.variables)


def expressions_of(panel: SignalPanel, board: Board, config: Config) -> list[str]:
    """Return a panel's queries. Of rare events, one more or a part shows that there were none."""
    scope = scope_of(panel, board, config)
    queries = [signal.expr(scope) for signal in panel.signals]
    if (reporter := panel.signals[0].reporter) is None:
        return queries
    none = f"0 * {aggregate('group', (), scope.select(reporter))}"
    if panel.kind == "stat":
        return [f"{queries[0]} or on () {none}", *queries[1:]]
    if panel.kind == "counts":
        return [*queries, f"{none} unless on () {aggregate('group', (), queries[0])}"]
    return queries


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
    if panel.kind not in {"table", "graph"}:  # where it would stand in cells without a value
        made.no_value(_NOTHING_REPORTS if first.reporter else NO_DATA)
    signals = (*panel.signals, None)
    for number, expr in enumerate(expressions_of(panel, board, config)):
        query = _query(expr, signals[number], panel)
        made.with_target(query.ref_id(QUERIES[number]).interval(config.min_step))
    if panel.drill_down:
        made.data_links([_link(panel, board, config)])
    return made


def _query(expr: str, signal: Signal | None, panel: SignalPanel) -> Dataquery:
    query = Dataquery().datasource(PROMETHEUS).expr(expr)
    query.legend_format((signal.legend or "__auto") if signal else _NONE)
    if panel.kind in _INSTANT:
        query.instant()
    else:
        query.range().exemplar(signal is not None and signal.exemplars)
    if panel.kind in {"table", "graph"}:
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
    chosen = [f"var-{name}=${{__field.labels.{label}}}" for name, label in picked.items()]
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
