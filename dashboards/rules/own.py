"""The alerts that users add."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dashboards.config import ConfigError
from dashboards.model.rule import Alert
from dashboards.signals.own import own_signals

if TYPE_CHECKING:
    from collections.abc import Collection

    from dashboards.config import Config
    from dashboards.model.promql import Scope
    from dashboards.own import OwnAlert

_NAME: Final = r"[A-Za-z][A-Za-z0-9]*"
_WAIT: Final = r"[0-9]+[smhd]"


def own_alerts(scope: Scope, config: Config, taken: Collection[str]) -> tuple[Alert, ...]:
    """Make the user's alerts.

    Args:
        scope: The scope of their queries.
        config: The configuration.
        taken: The names of other alerts.

    Raises:
        ConfigError: A name is taken or unknown, or a value is malformed.
    """
    names = set(taken)
    made = []
    for number, alert in enumerate(config.own.alerts):
        made.append(_alert(alert, scope, config, f"own.alerts[{number}]"))
        if alert.name in names:
            raise ConfigError(
                f"own.alerts[{number}].name: there is an alert {alert.name!r} already"
            )
        names.add(alert.name)
    return tuple(made)


def _alert(alert: OwnAlert, scope: Scope, config: Config, where: str) -> Alert:
    if not re.fullmatch(_NAME, alert.name):
        raise ConfigError(f"{where}.name: {alert.name!r} must be letters and digits")
    if not re.fullmatch(_WAIT, alert.wait):
        raise ConfigError(f"{where}.wait: {alert.wait!r} must be a duration such as 5m")
    signal = own_signals(config).get(alert.signal)
    boards = [panel.board for panel in config.own.panels if panel.signal == alert.signal]
    if signal is None or not boards:
        raise ConfigError(f"{where}.signal: {alert.signal!r} must be a signal that has a panel")
    query = signal.expr(scope)
    if "$" in query:
        raise ConfigError(f"{where}.signal: alerts have no variables, but the query is {query!r}")
    return Alert(
        name=alert.name,
        expr=f"({query}) > {alert.above:g}",
        wait=alert.wait,
        severity=alert.severity,
        summary=alert.summary,
        description=alert.description,
        board=boards[0],
        panel=signal.title,
        labels=alert.labels,
    )
