"""Marks on all graphs of a dashboard: when something began to go wrong for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery

from dashboards.model.labels import GROUP, TOPIC
from dashboards.model.promql import Scope
from dashboards.render.variables import PROMETHEUS
from tracing.metrics.catalog import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboards.config import Config
    from dashboards.model.board import Board


def marks(board: Board, config: Config) -> Iterator[AnnotationQuery]:
    """Mark dead letters on dashboards that look at groups or topics."""
    if not {"group", "destination"} & set(board.variables):
        return
    # Grafana has no interval for rates here; five minutes hold more than one export.
    scope = Scope.of(config, window="5m", variables=board.variables)
    some = f"{scope.grown(DEAD_LETTERS, by=(GROUP, TOPIC))} > 0"
    yield (
        AnnotationQuery()
        .name("Dead letters")
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color("red")
        # When they begin: marked all the time that they come, they would cover the graphs.
        .expr(f"{some} unless max_over_time(({some})[10m:1m] offset 1m)")
        .title_format("Dead letters")
        .text_format(f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}")
        .step("1m")
    )
