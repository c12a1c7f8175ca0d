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

from dashboards.labels import GROUP, PIPELINE, SAGA, SERVICE, TOPIC
from tracing.catalog import CONSUMED_MESSAGES, SAGA_STARTED, SENT_MESSAGES, WAIT_DURATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models.dashboard import VariableModel

    from dashboards.board import Board
    from dashboards.config import Config

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="${prometheus}")
TEMPO: Final = DataSourceRef(type_val="tempo", uid="${tempo}")
LOKI: Final = DataSourceRef(type_val="loki", uid="${loki}")

_ORIGINS: Final = {
    "pipeline": (f"{WAIT_DURATION.prometheus}_count", PIPELINE, "Pipeline"),
    "service": (SENT_MESSAGES.prometheus, SERVICE, "Service"),
    "destination": (SENT_MESSAGES.prometheus, TOPIC, "Topic"),
    "group": (CONSUMED_MESSAGES.prometheus, GROUP, "Group"),
    "saga": (SAGA_STARTED.prometheus, SAGA, "Saga"),
}
_INTERVALS: Final = ("5m", "15m", "1h", "6h", "1d")
_SHOWN: Final = "1h"
_ALL: Final = VariableOption(text="All", value="$__all")


def variables_of(board: Board, config: Config) -> Iterator[Builder[VariableModel]]:
    """Make the variables of a dashboard."""
    sources = config.datasources
    for name, uid in (
        ("prometheus", sources.prometheus),
        ("tempo", sources.tempo),
        ("loki", sources.loki),
    ):
        yield (
            DatasourceVariable(name)
            .label(name.capitalize())
            .type(name)
            .current(VariableOption(text=uid, value=uid))
        )
    for name in board.variables:
        metric, label, title = _ORIGINS[name]
        selector = f"{{{config.selector}}}" if config.selector else ""
        yield (
            QueryVariable(name)
            .label(title)
            .description(f"Only what has this {title.lower()}.")
            .datasource(PROMETHEUS)
            .query(f"label_values({metric}{selector}, {label})")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            # Matches also what has no such label: a consumer without a group.
            .all_value(".*")
            .current(_ALL)
        )
    for name, title in board.texts:
        yield TextBoxVariable(name).label(title).default_value("1s" * (name == "slower_than"))
    yield (
        CustomVariable("interval")
        .label("Interval")
        .description("Over which time events are counted.")
        .values(",".join(_INTERVALS))
        .current(VariableOption(text=_SHOWN, value=_SHOWN))
    )
