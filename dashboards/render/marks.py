"""Marks on all graphs of a dashboard: when something went wrong for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery

from dashboards.labels import GROUP, TOPIC
from dashboards.render.variables import PROMETHEUS
from dashboards.scope import Scope
from tracing.catalog import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboards.board import Board
    from dashboards.config import Config


def marks(board: Board, config: Config) -> Iterator[AnnotationQuery]:
    """Mark dead letters on dashboards that look at groups or topics."""
    if not {"group", "destination"} & set(board.variables):
        return
    scope = Scope(
        window="$__interval", variables=frozenset(board.variables), selector=config.selector
    )
    yield (
        AnnotationQuery()
        .name("Dead letters")
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color("red")
        .expr(f"{scope.increase(DEAD_LETTERS, by=(GROUP, TOPIC))} > 0")
        .title_format("Dead letters")
        .text_format(f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}")
        .step("1m")
    )
