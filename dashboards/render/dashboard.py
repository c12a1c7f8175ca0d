"""A dashboard in Grafana's JSON: variables, annotations, links and rows of panels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    Row,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkPlacement,
    DashboardLinkType,
    GridPos,
)

from dashboards.model.labels import GROUP, INSTANCE, SERVICE, SERVICE_VERSION, TOPIC
from dashboards.model.promql import Scope, aggregate
from dashboards.render.panels import panel_of
from dashboards.render.variables import PROMETHEUS, variables_of
from tracing.metrics.catalog import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dashboards.config import Config
    from dashboards.model import board as model
    from dashboards.model.board import Board

_TAG: Final = "pipeline-tracing"
_COLUMNS: Final = 24
_STEP: Final = "1m"
# What returns within this time has not started anew.
_KNOWN_FOR: Final = "6h"


def dashboard_json(board: Board, config: Config) -> str:
    """Return a dashboard as JSON, sorted, with a final newline."""
    built = _dashboard(board, config).build()
    encoded = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(built)
    # Encoded again, because the encoder does not sort nested objects.
    document = json.loads(encoded, object_hook=_without_menu_placement)
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def uid_of(name: str, config: Config) -> str:
    """Return the uid of a dashboard."""
    return f"{config.prefix}-{name}"


def _without_menu_placement(node: dict[str, Any]) -> dict[str, Any]:
    """Remove the SDK's default placement, which would hide links and annotations in a menu."""
    if node.get("placement") == DashboardLinkPlacement.IN_CONTROLS_MENU:
        del node["placement"]
    return node


def _dashboard(board: Board, config: Config) -> Dashboard:
    made = (
        Dashboard(f"{config.title}: {board.title}")
        .uid(uid_of(board.name, config))
        .description(board.description)
        .tags([_TAG, config.prefix])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .link(
            DashboardLink("All dashboards")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([config.prefix])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    if config.broker_tag and "group" in board.variables:
        made.link(
            DashboardLink("Kafka itself")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([config.broker_tag])
            .as_dropdown(True)
            .keep_time(True)
        )
    for variable in variables_of(board, config):
        made.with_variable(variable)
    for annotation in _annotations(board, config):
        made.annotation(annotation)
    numbers = {id(panel): number for number, panel in board.numbered()}
    # Without an id, Grafana would give a heading one when it loads the dashboard.
    for number, (row, heading, places) in enumerate(_placed(board.rows), start=len(numbers) + 1):
        made.with_row(Row(row.title).grid_pos(heading).id(number))
        for panel, place in zip(row.panels, places, strict=True):
            made.with_panel(panel_of(panel, board, config, place).id(numbers[id(panel)]))
    return made


def _placed(rows: Iterable[model.Row]) -> Iterator[tuple[model.Row, GridPos, list[GridPos]]]:
    """Return the place of each row's heading and of its panels."""
    top = 0
    for row in rows:
        heading = GridPos(h=1, w=_COLUMNS, x=0, y=top)
        top += 1
        places: list[GridPos] = []
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            places.append(GridPos(h=panel.height, w=panel.width, x=left, y=top))
            left += panel.width
            tallest = max(tallest, panel.height)
        top += tallest
        yield row, heading, places


def _annotations(board: Board, config: Config) -> Iterator[AnnotationQuery]:
    """Mark the start of dead letters where groups or topics are shown, and of processes."""
    # Annotations have no $__rate_interval; five minutes hold more than one export.
    scope = Scope.of(config, window="5m", variables=board.variables)
    if "service" in board.variables:
        for name, colour, label, series in (
            ("Starts", "blue", INSTANCE, scope.resources()),
            ("Versions", "purple", SERVICE_VERSION, scope.resources(f'{SERVICE_VERSION}!=""')),
        ):
            known = aggregate(
                "group", (SERVICE, label), f"last_over_time({series}[{_KNOWN_FOR}] offset {_STEP})"
            )
            new = aggregate("group", (SERVICE, label), series)
            yield _mark(name, colour, f"{new} unless {known}", f"{{{{{SERVICE}}}}} {{{{{label}}}}}")
    if not {"group", "destination"} & set(board.variables):
        return
    any_new = f"{scope.increase(DEAD_LETTERS, by=(GROUP, TOPIC))} > 0"
    # Only the start is marked: marks at every point would cover the graphs.
    first = f"{any_new} unless max_over_time(({any_new})[10m:1m] offset {_STEP})"
    yield _mark("Dead letters", "red", first, f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}")


def _mark(name: str, colour: str, expr: str, text: str) -> AnnotationQuery:
    return (
        AnnotationQuery()
        .name(name)
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color(colour)
        .expr(expr)
        .title_format(name)
        .text_format(text)
        .step(_STEP)
    )
