"""The alerts that users add."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from dashboards.config import ConfigError, check_filled
from dashboards.durations import seconds_of
from dashboards.model.alert_text import TextError, check_text
from dashboards.model.labels import VARIABLE_OF
from dashboards.model.rule import Alert
from dashboards.signals.own import labels_of_own, own_signals, variables_in

if TYPE_CHECKING:
    from collections.abc import Collection

    from dashboards.config import Config
    from dashboards.model.promql import Scope
    from dashboards.own import OwnAlert

# Grafana's titles have up to 190 characters.
_NAME: Final = r"[A-Za-z][A-Za-z0-9]{0,99}"
_WAIT: Final = r"[0-9]{1,7}[smhd]"
_LONGEST_WAIT: Final = "7d"


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
        raise ConfigError(f"{where}.name: {alert.name!r} must be letters and digits, up to 100")
    if not re.fullmatch(_WAIT, alert.wait):
        raise ConfigError(
            f"{where}.wait: {alert.wait!r} must be one number and its unit, s, m, h or d"
        )
    if seconds_of(alert.wait) > seconds_of(_LONGEST_WAIT):
        raise ConfigError(f"{where}.wait: {alert.wait!r} must be {_LONGEST_WAIT} or less")
    if not math.isfinite(alert.above):
        raise ConfigError(f"{where}.above: {alert.above} must be a number")
    signal = own_signals(config).get(alert.signal)
    boards = [panel.board for panel in config.own.panels if panel.signal == alert.signal]
    if signal is None or not boards:
        raise ConfigError(f"{where}.signal: {alert.signal!r} must be a signal that has a panel")
    query = signal.expr(scope)
    if variables_in(query):
        raise ConfigError(f"{where}.signal: alerts have no variables, but the query is {query!r}")
    _check_texts(alert, labels_of_own(query), where)
    return Alert(
        name=alert.name,
        # The query may end with a comment.
        expr=f"({query}\n) > {alert.above!r}",
        wait=alert.wait,
        severity=alert.severity,
        summary=alert.summary,
        description=alert.description,
        board=boards[0],
        panel=signal.title,
        labels=alert.labels,
    )


def _check_texts(alert: OwnAlert, kept: Collection[str] | None, where: str) -> None:
    for name in ("summary", "description"):
        text = getattr(alert, name)
        check_filled(f"{where}.{name}", text)
        try:
            check_text(text, kept)
        except TextError as error:
            raise ConfigError(f"{where}.{name}: {text!r} {error}") from error
    check_filled(f"{where}.runbook", alert.runbook)
    for label in alert.labels:
        if label not in VARIABLE_OF:
            raise ConfigError(
                f"{where}.labels: no dashboard is filtered by {label!r}; it must be one of "
                f"{', '.join(VARIABLE_OF)}"
            )
        if kept is not None and label not in kept:
            raise ConfigError(
                f"{where}.labels: the query of {alert.signal!r} does not keep the label {label!r}"
            )
