"""Dashboard variables: data sources, what to show, and over which interval."""

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
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dashboards.model.board import LogsPanel, SignalPanel, TracesPanel, TraceView
from dashboards.model.labels import GROUP, PIPELINE, SAGA, SERVICE, TOPIC
from dashboards.model.promql import ALL, INTERVAL, any_of
from tracing.metrics.catalog import (
    CONSUMED_MESSAGES,
    CONSUMER_LAG,
    CONSUMER_STATUS,
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

_ORIGINS: Final = {
    "pipeline": ((f"{WAIT_DURATION.prometheus}_count",), PIPELINE, "Pipeline"),
    # What every telemetry tells from its start: services that only listen are among them.
    "service": ((TELEMETRY_DROPPED.prometheus,), SERVICE, "Service"),
    "destination": (
        (SENT_MESSAGES.prometheus, CONSUMED_MESSAGES.prometheus, CONSUMER_LAG.prometheus),
        TOPIC,
        "Topic",
    ),
    # Those that nobody instruments are seen from outside.
    "group": ((CONSUMED_MESSAGES.prometheus, CONSUMER_STATUS.prometheus), GROUP, "Group"),
    "saga": ((SAGA_STARTED.prometheus,), SAGA, "Saga"),
}
_INTERVALS: Final = ("5m", "15m", "1h", "6h", "1d")
_SHOWN: Final = "1h"
_ALL: Final = VariableOption(text="All", value="$__all")


def variables_of(board: Board, config: Config) -> Iterator[Builder[VariableModel]]:
    """Make the variables of a dashboard: those that it uses."""
    panels = [panel for _, panel in board.numbered()]
    for name, kinds in (
        ("prometheus", SignalPanel),
        ("tempo", TracesPanel | TraceView),
        ("loki", LogsPanel),
    ):
        asked = name == "prometheus" and board.variables
        if asked or any(isinstance(panel, kinds) for panel in panels):
            uid = getattr(config.datasources, name)
            yield (
                DatasourceVariable(name)
                .label(name.capitalize())
                .type(name)
                .current(VariableOption(text=uid, value=uid))
            )
    for name in board.variables:
        yield _query(name, config)
    for box in board.boxes:
        yield _box(box)
    if any(isinstance(panel, SignalPanel) and panel.over == INTERVAL for panel in panels):
        yield (
            CustomVariable("interval")
            .label("Count over")
            .description("Over which time the figures that stand alone are counted.")
            .values(",".join(_INTERVALS))
            .current(VariableOption(text=_SHOWN, value=_SHOWN))
        )


def _query(name: str, config: Config) -> QueryVariable:
    metrics, label, title = _ORIGINS[name]
    only = any_of({"pipeline": config.pipelines, "saga": config.sagas}.get(name, ()))
    matchers = [f'__name__=~"{"|".join(metrics)}"']
    matchers += [f'{chosen}="{value}"' for chosen, value in config.selector.items()]
    if only != ALL:
        matchers.append(f'{label}=~"{only}"')
    return (
        QueryVariable(name)
        .label(title)
        .description(
            f"Narrows the panels whose metrics tell the {title.lower()}; others show all of it."
        )
        .datasource(PROMETHEUS)
        .query(f"label_values({{{', '.join(matchers)}}}, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        # Where nothing is left out, it matches also what has no such label: a consumer without
        # a group.
        .all_value(only)
        .current(_ALL)
    )


def _box(box: Box) -> Builder[VariableModel]:
    if box.choices:
        first = VariableOption(text=box.choices[0], value=box.choices[0])
        return (
            CustomVariable(box.name).label(box.label).values(",".join(box.choices)).current(first)
        )
    return TextBoxVariable(box.name).label(box.label)
