"""Attributes with any names and plain values in OTLP's wire format, such as those of a handler.

What depends on the name, or on the size of a value, is kept: services have few names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracing.core.otlp_wire import (
    INT,
    KEY,
    PREPARED,
    SPAN_ATTRIBUTE,
    TEXT,
    attribute,
    delimited,
    int64,
    prefix_of,
    varint,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_NAMES: Final = 512
_names: Final[dict[str, AnyAttribute]] = {}


def encoded_attributes(attributes: Mapping[str, Any]) -> bytes:
    """Write attributes of a span. Safe in any thread.

    Raises whatever `attribute` raises.
    """
    try:
        return b"".join([_names[name].encode(value) for name, value in attributes.items()])
    except KeyError:
        return b"".join([_named(name).encode(value) for name, value in attributes.items()])


def _named(name: str) -> AnyAttribute:
    known = _names.get(name)
    if known is None:
        if len(_names) >= _MAX_NAMES:
            _names.clear()
        known = _names[name] = AnyAttribute(name)
    return known


class AnyAttribute:
    """A span's attribute with this name and a plain value of any type, see `attribute`."""

    __slots__ = ("_false", "_ints", "_key", "_name", "_texts", "_true")

    def __init__(self, name: str) -> None:
        self._name = name
        self._key = delimited(KEY, name.encode())
        # What comes before a text, or an integer, by the size of the latter, once one was written.
        self._texts: dict[int, bytes] = {}
        self._ints: dict[int, bytes] = {}
        self._true = attribute(SPAN_ATTRIBUTE, name, True)
        self._false = attribute(SPAN_ATTRIBUTE, name, False)

    def encode(self, value: object) -> bytes:
        """Write the attribute; raises as `attribute` does."""
        if type(value) is str:
            content = value.encode()
            size = len(content)
            if size < PREPARED:
                try:
                    return self._texts[size] + content
                except KeyError:
                    prefix = self._texts[size] = prefix_of(self._key, TEXT + varint(size), size)
                    return prefix + content
        elif type(value) is int:
            content = int64(value)
            size = len(content)
            try:
                return self._ints[size] + content
            except KeyError:
                prefix = self._ints[size] = prefix_of(self._key, INT, size)
                return prefix + content
        elif type(value) is bool:
            return self._true if value else self._false
        return attribute(SPAN_ATTRIBUTE, self._name, value)
