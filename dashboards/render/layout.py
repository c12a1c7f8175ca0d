"""Where panels stand: from left to right in 24 columns, rows below each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.models.dashboard import GridPos

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dashboards.model.board import Row

COLUMNS: Final = 24


def placed(rows: Iterable[Row]) -> Iterator[tuple[Row, GridPos, list[GridPos]]]:
    """Give every row's heading, and each of its panels, its place."""
    top = 0
    for row in rows:
        heading = GridPos(h=1, w=COLUMNS, x=0, y=top)
        top += 1
        places: list[GridPos] = []
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            places.append(GridPos(h=panel.height, w=panel.width, x=left, y=top))
            left += panel.width
            tallest = max(tallest, panel.height)
        top += tallest
        yield row, heading, places
