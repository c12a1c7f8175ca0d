"""Values that come from environment variables: the service's name, and switches."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote

from tracing.core.log import warn_once

SERVICE_NAME_VARIABLE: Final = "OTEL_SERVICE_NAME"
RESOURCE_VARIABLE: Final = "OTEL_RESOURCE_ATTRIBUTES"
FAST_VARIABLE: Final = "PIPELINE_TRACING_FAST"
"""`off` turns all fast paths off: everything goes through the public API of OpenTelemetry."""
FLAT_VARIABLE: Final = "PIPELINE_TRACING_FLAT"
"""`off` turns the flat path of messages off: each goes through the general code."""
TYPE_LABEL_VARIABLE: Final = "PIPELINE_TRACING_MESSAGE_TYPE_LABEL"
"""`off` leaves the label `message.type` out of the metrics."""

ORDER_VARIABLE: Final = "PIPELINE_TRACING_ORDER_CHECK"
"""`on` lets consumers check that the records of a key are handled in order."""

_ATTRIBUTE: Final = "service.name"

# Words of a switch; any other word is a mistake.
_OFF: Final = frozenset({"off", "false", "no", "0"})
_ON: Final = frozenset({"on", "true", "yes", "1"})


def service_name() -> str | None:
    """Return the name that the SDK would take; `None` where the environment gives none.

    `OTEL_SERVICE_NAME` has precedence over `service.name` in `OTEL_RESOURCE_ATTRIBUTES`, of which
    the last one counts, as in OpenTelemetry's specification of environment variables and its SDK.
    """
    named = os.environ.get(SERVICE_NAME_VARIABLE, "").strip()
    if named:
        return named
    name = None
    for entry in os.environ.get(RESOURCE_VARIABLE, "").split(","):
        key, equals, value = entry.partition("=")
        if equals and key.strip() == _ATTRIBUTE:
            name = unquote(value.strip())
    return name or None


def switched_on(variable: str, *, default: bool = True) -> bool:
    """Return whether a switch in the environment is on; `default` where it is not set.

    A value that is neither on nor off counts as not set, with one warning.
    """
    setting = os.environ.get(variable, "").strip().lower()
    if setting in _ON | _OFF:
        return setting in _ON
    if setting:
        stays = "on" if default else "off"
        warn_once(f"{variable} is 'on' or 'off', not {setting!r}; it stays {stays}")
    return default


def fast_paths(*, fast: bool | None) -> bool:
    """Return whether fast paths are on: as the argument says, else as the environment says.

    Raises:
        TypeError: The argument is no boolean.
    """
    return _chosen("fast", fast, FAST_VARIABLE)


def flat_path() -> bool:
    """Return whether messages may take the flat path, as the environment says."""
    return switched_on(FLAT_VARIABLE)


def type_label(*, message_type_label: bool | None) -> bool:
    """Return whether metrics have the label `message.type`: by argument, else by environment.

    Raises:
        TypeError: The argument is no boolean.
    """
    return _chosen("message_type_label", message_type_label, TYPE_LABEL_VARIABLE)


def order_topics(*, order_check: bool | Collection[str] | None) -> frozenset[str] | None:
    """Return the topics whose order is checked, `None` for all: by argument, else by environment.

    Raises:
        TypeError: The argument is neither a boolean nor a collection of topics.
    """
    if order_check is None:
        order_check = switched_on(ORDER_VARIABLE, default=False)
    if isinstance(order_check, bool):
        return None if order_check else frozenset()
    if isinstance(order_check, str | bytes) or not isinstance(order_check, Collection):
        raise TypeError(
            "order_check must be True, False or a collection of topics, such as ['orders'], not "
            f"{order_check!r}"
        )
    return frozenset(order_check)


def _chosen(argument: str, choice: object, variable: str) -> bool:
    if choice is None:
        return switched_on(variable)
    if not isinstance(choice, bool):
        raise TypeError(f"{argument} must be True, False or None, not {choice!r}")
    return choice
