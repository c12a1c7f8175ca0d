"""One picture of panels from several dashboards, for the README."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# Dashboard, title, columns of 24 and rows of Grafana's grid.
_PANELS: Final = (
    ("overview", "End-to-end lag p95", 4, 5),
    ("overview", "Error budget left", 4, 5),
    ("overview", "Dead letters", 4, 5),
    ("overview", "Overdue sagas", 4, 5),
    ("overview", "Failed sagas", 4, 5),
    ("overview", "Stalled or dead groups", 4, 5),
    ("overview", "End-to-end lag", 12, 8),
    ("lag", "Group status", 12, 8),
    ("lag", "Lag in records", 12, 8),
    ("sagas", "Active sagas by state", 12, 8),
)
_COLUMNS: Final = 24
BOARDS: Final = frozenset(name for name, *_ in _PANELS)
"""The dashboards that it needs."""


def readme_picture(shown: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a dashboard of some panels.

    Args:
        shown: What the page shows of each dashboard, by name.
    """
    panels: list[dict[str, Any]] = []
    answers: dict[str, Any] = {}
    left = top = 0
    for number, (name, title, width, height) in enumerate(_PANELS, start=1):
        board = shown[name]
        panel = next(each for each in board["dashboard"]["panels"] if each["title"] == title)
        if left + width > _COLUMNS:
            left, top = 0, panels[-1]["gridPos"]["y"] + panels[-1]["gridPos"]["h"]
        place = {"x": left, "y": top, "w": width, "h": height}
        panels.append({**panel, "id": number, "gridPos": place})
        answers[str(number)] = board["answers"][str(panel["id"])]
        left += width
    first = shown[_PANELS[0][0]]
    title = "Payment was killed three minutes ago"
    return {**first, "dashboard": {"title": title, "panels": panels}, "answers": answers}
