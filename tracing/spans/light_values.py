"""What a light span keeps as it is: values that the SDK would keep unchanged, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Mapping

LightEvent = tuple[str, dict[str, Any], int]
"""Name, attributes and time of an event."""

PLAIN: Final = frozenset({str, bool, int, float})
"""The types of plain values."""

MAX_ADDED: Final = 64
"""How many attributes may be set on a light span.

Together with what the library itself sets, these stay below the least limit of 128.
"""

_STATUSES: Final = {code: Status(code) for code in StatusCode}


def kept_value(value: object) -> object:
    """Return a value as the SDK keeps it; `None` where that needs the SDK."""
    if value.__class__ is list or value.__class__ is tuple:
        items = tuple(value)
        if all(item.__class__ in PLAIN for item in items):
            return items
    return None


def all_kept(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return attributes as the SDK keeps them; `None` where that needs the SDK."""
    if attributes.__class__ is not dict or len(attributes) > MAX_ADDED:
        return None
    kept = {}
    for key, value in attributes.items():
        content = value if value.__class__ in PLAIN else kept_value(value)
        if content is None or key.__class__ is not str or not key:
            return None
        kept[key] = content
    return kept


def updated(attributes: dict[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Set attributes, and return them. Those that are set again come last, as with the SDK."""
    if not attributes.keys().isdisjoint(others):
        for key in others:
            attributes.pop(key, None)
    attributes.update(others)
    return attributes


def status_of(status: Status | StatusCode, description: str | None) -> Status:
    """Return the status that the SDK would keep."""
    if isinstance(status, Status):
        return status
    return _STATUSES[status] if description is None else Status(status, description)
