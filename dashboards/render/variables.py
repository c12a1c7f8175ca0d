"""Dashboard variables: data sources, filters and the interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders.dashboard import (
    CustomVariable,
    DatasourceVariable,
    QueryVariable,
    TextBoxVariable,
)
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dashboards.model.board import SERVICE_NAME, LogsPanel, SignalPanel, TracesPanel, TraceView
from dashboards.model.labels import (
    GROUP,
    INSTANCE,
    PIPELINE,
    SAGA,
    SERVICE,
    TOPIC,
    TYPE,
    VARIABLE_OF,
)
from dashboards.model.promql import ALL, INTERVAL, Scope, any_of
from dashboards.model.series import series_name
from tracing.metrics.catalog import (
    CONSUMED_MESSAGES,
    CONSUMER_LAG,
    CONSUMER_STATUS,
    END_TO_END_DURATION,
    SAGA_STARTED,
    SENT_MESSAGES,
    TELEMETRY_DROPPED,
    WAIT_DURATION,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import VariableModel

    from dashboards.config import Config
    from dashboards.model.board import Board, Box

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="${prometheus}")
TEMPO: Final = DataSourceRef(type_val="tempo", uid="${tempo}")
LOKI: Final = DataSourceRef(type_val="loki", uid="${loki}")

_FILTERS: Final = {
    "pipeline": ((WAIT_DURATION,), PIPELINE, "Pipeline"),
    # Every service reports this metric from its start, also one that only receives.
    "service": ((TELEMETRY_DROPPED,), SERVICE, "Service"),
    "instance": ((TELEMETRY_DROPPED,), INSTANCE, "Instance"),
    "message_type": ((CONSUMED_MESSAGES, SENT_MESSAGES), TYPE, "Message type"),
    "destination": (
        (SENT_MESSAGES, CONSUMED_MESSAGES, CONSUMER_LAG),
        TOPIC,
        "Topic",
    ),
    # The lag monitor also reports groups that are not instrumented.
    "group": ((CONSUMED_MESSAGES, CONSUMER_STATUS), GROUP, "Group"),
    "saga": ((SAGA_STARTED,), SAGA, "Saga"),
}
_INTERVALS: Final = ("5m", "15m", "1h", "6h", "1d")
_DEFAULT_INTERVAL: Final = "1h"
_ALL: Final = VariableOption(text="All", value="$__all")


def variables_of(board: Board, config: Config) -> Iterator[Builder[VariableModel]]:
    """Return the variables that a dashboard uses."""
    panels = [panel for _, panel in board.numbered()]
    for name, kinds in (
        ("prometheus", SignalPanel),
        ("tempo", TracesPanel | TraceView),
        ("loki", LogsPanel),
    ):
        queried = name == "prometheus" and board.variables
        if queried or any(isinstance(panel, kinds) for panel in panels):
            uid = getattr(config.datasources, name)
            yield (
                DatasourceVariable(name)
                .label(name.capitalize())
                .type(name)
                .current(VariableOption(text=uid, value=uid))
            )
    for name in board.variables:
        yield _filter(name, config)
    if any(
        isinstance(panel, TracesPanel) and f"${{{SERVICE_NAME}:" in panel.query for panel in panels
    ):
        yield _service_name(config)
    for box in board.boxes:
        yield _box(box, config)
    if any(isinstance(panel, SignalPanel) and panel.over == INTERVAL for panel in panels):
        yield (
            CustomVariable("interval")
            .label("Count over")
            .description("The time over which single numbers are counted.")
            .values(",".join(_INTERVALS))
            .current(VariableOption(text=_DEFAULT_INTERVAL, value=_DEFAULT_INTERVAL))
        )


def _filter(name: str, config: Config) -> QueryVariable:
    metrics, label, title = _FILTERS[name]
    only = any_of({"pipeline": config.pipelines, "saga": config.sagas}.get(name, ()))
    names = [
        series_name(
            metric,
            "count" if metric.kind == "histogram" else "",
            native=config.native_histograms,
        )
        for metric in metrics
    ]
    matchers = [f'__name__=~"{"|".join(names)}"']
    matchers += [f'{chosen}="{value}"' for chosen, value in config.selector.items()]
    if name == "instance":
        matchers.append(f'{SERVICE}=~"${VARIABLE_OF[SERVICE]}"')
    if only != ALL:
        matchers.append(f'{label}=~"{only}"')
    return (
        QueryVariable(name)
        .label(title)
        .description(
            f"Filters panels whose metrics have a {title.lower()}. Other panels show everything."
        )
        .datasource(PROMETHEUS)
        .query(f"label_values({{{', '.join(matchers)}}}, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        # The default `.*` also matches series without the label: a consumer without a group.
        .all_value(only)
        .current(_ALL)
    )


def _service_name(config: Config) -> QueryVariable:
    """Return the hidden variable that holds the chosen services as their traces name them."""
    chosen = f'{SERVICE}=~"${VARIABLE_OF[SERVICE]}"'
    selector = ", ".join(
        [chosen, *(f'{name}="{value}"' for name, value in config.selector.items())]
    )
    return (
        QueryVariable(SERVICE_NAME)
        .hide(VariableHide.HIDE_VARIABLE)
        .description("Names of the chosen services without their namespaces.")
        .datasource(PROMETHEUS)
        .query(f"label_values({TELEMETRY_DROPPED.prometheus}{{{selector}}}, {SERVICE})")
        # Prometheus puts `service.namespace` and a slash before the name.
        .regex("/([^/]+)$/")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .current(_ALL)
    )


def _box(box: Box, config: Config) -> Builder[VariableModel]:
    if box.values_of:
        arrivals = Scope.of(config).select(END_TO_END_DURATION, part="count")
        return (
            QueryVariable(box.name)
            .label(box.label)
            .datasource(PROMETHEUS)
            .query(f"label_values({arrivals}, {box.values_of})")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
        )
    if box.choices:
        first = VariableOption(text=box.choices[0], value=box.choices[0])
        return (
            CustomVariable(box.name).label(box.label).values(",".join(box.choices)).current(first)
        )
    return TextBoxVariable(box.name).label(box.label)
