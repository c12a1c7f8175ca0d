"""The panels whose numbers no run compares with a truth, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.boards.all_boards import make_boards
from dashboards.model.board import SignalPanel, title_of
from dashboards.signals import instrumentation
from tests.outage.graphs import CONFIG

if TYPE_CHECKING:
    from collections.abc import Collection

NOT_COMPARED: Final = {
    instrumentation.COST.title: "nothing else measures it",
    instrumentation.SERIES.title: "only Prometheus knows how many it has",
}
"""The reason by the title of the signal."""


def left_out(compared: Collection[str]) -> dict[str, str]:
    """Return the panels that show anything beside the compared signals, and the reason for each.

    Args:
        compared: The titles of the signals that were compared.
    """
    return {
        f"{board.name}: {title_of(panel)}": "; ".join(
            NOT_COMPARED.get(title, f"{title!r} was forgotten") for title in missing
        )
        for board in make_boards(CONFIG)
        for _, panel in board.numbered()
        if isinstance(panel, SignalPanel)
        if (missing := [each.title for each in panel.signals if each.title not in compared])
    }
