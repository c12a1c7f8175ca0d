"""The panels and dashboards that users add."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.config import ConfigError, check_filled
from dashboards.model.board import Board, Row, SignalPanel, title_of
from dashboards.model.labels import VARIABLE_OF
from dashboards.model.promql import INTERVAL, Scope
from dashboards.signals.own import GRAFANAS, own_signals, variables_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dashboards.config import Config
    from dashboards.own import Own

_COLUMNS: Final = 24
_LOWEST: Final = 3
_HIGHEST: Final = 100
# Grafana's uids have up to 40 characters, of which the prefix and a dash take 21.
_NAME: Final = r"[a-z][a-z0-9-]{0,18}"


def with_own(boards: Sequence[Board], config: Config) -> tuple[Board, ...]:
    """Add the user's dashboards to these, and the user's panels to all of them.

    Raises:
        ConfigError: A name is taken, malformed or unknown, or a panel does not fit.
    """
    own = config.own
    _check_boards(own, boards)
    every = {board.name: board for board in boards} | {
        board.name: Board(
            name=board.name,
            title=board.title,
            description=board.description,
            variables=board.variables,
            rows=(),
        )
        for board in own.boards
    }
    _check_panels(own, every)
    signals = own_signals(config)
    for number, panel in enumerate(own.panels):
        added = SignalPanel(
            kind=panel.kind,
            signals=(signals[panel.signal],),
            width=panel.width,
            height=panel.height,
        )
        board = every[panel.board]
        if any(title_of(each) == title_of(added) for _, each in board.numbered()):
            raise ConfigError(
                f"own.panels[{number}]: {panel.board} has a panel named {title_of(added)!r}"
            )
        _check_variables(f"own.panels[{number}]", added, board, config)
        every[panel.board] = replace(board, rows=_with_panel(board.rows, panel.row, added))
    return tuple(every.values())


def _with_panel(rows: tuple[Row, ...], title: str, panel: SignalPanel) -> tuple[Row, ...]:
    if all(row.title != title for row in rows):
        return (*rows, Row(title, (panel,)))
    return tuple(Row(title, (*row.panels, panel)) if row.title == title else row for row in rows)


def _check_boards(own: Own, boards: Sequence[Board]) -> None:
    taken = {board.name for board in boards}
    titles = {board.title for board in boards}
    for number, board in enumerate(own.boards):
        where = f"own.boards[{number}]"
        if not re.fullmatch(_NAME, board.name):
            raise ConfigError(
                f"{where}.name: {board.name!r} must be 1 to 19 lower-case letters, digits and "
                "dashes, a letter first"
            )
        if board.name in taken:
            raise ConfigError(f"{where}.name: there is a dashboard {board.name!r} already")
        taken.add(board.name)
        check_filled(f"{where}.title", board.title)
        check_filled(f"{where}.description", board.description)
        if board.title in titles:
            # Grafana does not load two dashboards of a folder with the same title.
            raise ConfigError(f"{where}.title: there is a dashboard titled {board.title!r} already")
        titles.add(board.title)
        for variable in board.variables:
            _check_known(f"{where}.variables", variable, VARIABLE_OF.values())
        if len(board.variables) > len(set(board.variables)):
            raise ConfigError(f"{where}.variables: each must be there once")


def _check_panels(own: Own, boards: dict[str, Board]) -> None:
    names = [signal.name for signal in own.signals]
    if len(names) > len(set(names)):
        raise ConfigError("own.signals: each must have a different name")
    for number, panel in enumerate(own.panels):
        where = f"own.panels[{number}]"
        _check_known(f"{where}.signal", panel.signal, names)
        _check_known(f"{where}.board", panel.board, boards)
        check_filled(f"{where}.row", panel.row)
        if not 1 <= panel.width <= _COLUMNS or not _LOWEST <= panel.height <= _HIGHEST:
            raise ConfigError(
                f"{where}: width must be 1 to {_COLUMNS}, and height {_LOWEST} to {_HIGHEST}"
            )


def _check_variables(where: str, panel: SignalPanel, board: Board, config: Config) -> None:
    """Check that a panel uses only variables of its dashboard: others stay as they are written."""
    (signal,) = panel.signals
    used = variables_in(signal.expr(Scope.of(config, window="5m")))
    used |= variables_in(f"{signal.title} {signal.description} {signal.legend}")
    has = GRAFANAS | {*board.variables, *(box.name for box in board.boxes)}
    if any(each.over == INTERVAL for _, each in board.numbered() if isinstance(each, SignalPanel)):
        has |= {INTERVAL.removeprefix("$")}
    for name in sorted(used - has):
        raise ConfigError(
            f"{where}: {signal.title!r} uses ${name}, but the dashboard {board.name} has no such "
            f"variable; it has {', '.join(board.variables) or 'none'}"
        )


def _check_known(where: str, name: str, known: Iterable[str]) -> None:
    names = list(known)
    if name not in names:
        raise ConfigError(f"{where}: {name!r} must be one of {', '.join(names) or 'none'}")
