"""Attributes with any names and plain values in OTLP's wire format, such as those of a handler.

What depends on the name, or on the size of a value, is kept: services have few names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracing.core.otlp_wire import (
    HIGHEST,
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
_names: Final[dict[str, _Name]] = {}


def encoded_attributes(attributes: Mapping[str, Any]) -> bytes:
    """Write attributes of a span, in one loop: a call for each would cost as much again.

    Safe in any thread. Raises whatever `attribute` raises.
    """
    fields: list[bytes] = []
    for name, value in attributes.items():
        try:
            known = _names[name]
        except KeyError:
            known = _named(name)
        kind = type(value)
        if kind is str:
            content = value.encode()
            try:
                fields.append(known.texts[len(content)])
            except KeyError:
                fields.append(known.before_text(len(content)))
            fields.append(content)
        elif kind is int:
            content = varint(value) if 0 <= value <= HIGHEST else int64(value)
            try:
                fields.append(known.ints[len(content)])
            except KeyError:
                fields.append(known.before_int(len(content)))
            fields.append(content)
        elif kind is bool:
            fields.append(known.true if value else known.false)
        else:
            fields.append(attribute(SPAN_ATTRIBUTE, name, value))
    return b"".join(fields)


def _named(name: str) -> _Name:
    if len(_names) >= _MAX_NAMES:
        _names.clear()
    known = _names[name] = _Name(name)
    return known


class _Name:
    """What attributes of one name share.

    Attributes:
        texts: What comes before a text, by its size in bytes, once one was written.
        ints: What comes before an integer, in the same way.
        true: The attribute with `True`.
        false: The attribute with `False`.
    """

    __slots__ = ("_key", "false", "ints", "texts", "true")

    def __init__(self, name: str) -> None:
        self._key = delimited(KEY, name.encode())
        self.texts: dict[int, bytes] = {}
        self.ints: dict[int, bytes] = {}
        self.true = attribute(SPAN_ATTRIBUTE, name, True)
        self.false = attribute(SPAN_ATTRIBUTE, name, False)

    def before_text(self, size: int) -> bytes:
        """Make what comes before a text, and keep it if texts are often as short."""
        prefix = prefix_of(self._key, TEXT + varint(size), size)
        if size < PREPARED:
            self.texts[size] = prefix
        return prefix

    def before_int(self, size: int) -> bytes:
        """Make what comes before an integer."""
        prefix = self.ints[size] = prefix_of(self._key, INT, size)
        return prefix
