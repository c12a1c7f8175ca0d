"""OTLP attributes in protobuf's wire format, for names that are known in advance.

An attribute of a span is a `KeyValue` in field 9. Everything before its value depends on the name
and on the value's size alone, so it is made once for each name: an attribute costs a look-up and an
append. Nothing here imports protobuf.

Sources: opentelemetry/proto/common/v1/common.proto, opentelemetry/proto/trace/v1/trace.proto and
the protobuf encoding specification.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SPAN_ATTRIBUTE: Final = b"\x4a"
"""The tag of `attributes` in a span."""
EVENT_ATTRIBUTE: Final = b"\x1a"
"""The tag of `attributes` in an event of a span."""
LINK_ATTRIBUTE: Final = b"\x22"
"""The tag of `attributes` in a link of a span."""

KEY: Final = b"\x0a"
"""The tag of an attribute's name."""
_VALUE: Final = b"\x12"
TEXT: Final = b"\x0a"
"""The tag of a value that is a text."""
INT: Final = b"\x18"
"""The tag of a value that is an integer."""
_DOUBLE_TAG: Final = b"\x21"
_ARRAY: Final = b"\x2a"
_ITEM: Final = b"\x0a"
_TRUE: Final = b"\x10\x01"
_FALSE: Final = b"\x10\x00"
_SHORT: Final = tuple(bytes((number,)) for number in range(0x80))
# Seven bits, and the mark that more follow.
_MORE: Final = tuple(bytes((number | 0x80,)) for number in range(0x80))
_64_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
_LOWEST: Final = -(1 << 63)
HIGHEST: Final = (1 << 63) - 1
"""The highest integer."""
PREPARED: Final = 128
"""Texts of fewer bytes have their prefix made in advance."""

START_TIME: Final = b"\x39"
"""The tag of a span's start, in unix ns; 64 bits follow."""
END_TIME: Final = b"\x41"
"""The tag of its end."""

_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
_FLAGS: Final = Struct("<BBI").pack
_UNSET_STATUS: Final = b"\x7a\x00"
LOCAL: Final = _UNSET_STATUS + _FLAGS(0x85, 0x01, _HAS_IS_REMOTE)
"""Status and flags of a span without a parent in another process; a status may come later."""
REMOTE: Final = _UNSET_STATUS + _FLAGS(0x85, 0x01, _HAS_IS_REMOTE | _IS_REMOTE)
"""The same of a span whose parent is in another process."""

_TIMES: Final = Struct("<cQcQ").pack
_LINK_FLAGS: Final = Struct("<BI").pack

read_own_ids: Final = Struct("3x32sx16s3x").unpack
"""Read the digits of a span's own ids in its `traceparent`."""
read_ids: Final = Struct("3x32sx16s39x16s3x").unpack
"""Read the same, and the digits of its parent's id, in its `traceparent` and then its parent's."""

pack_double: Final = Struct("<d").pack
"""Write a double."""


@lru_cache(maxsize=256)
def packer(layout: str) -> Callable[..., bytes]:
    """Return what writes values of a layout of `struct`, which must begin with `<`.

    Code that writes the same fields for many spans writes them in one step: constants, whose sizes
    are in the layout, and numbers.
    """
    return Struct(layout).pack


def link_flags(*, is_remote: bool) -> bytes:
    """Write the flags of a link."""
    return _LINK_FLAGS(0x35, _HAS_IS_REMOTE | _IS_REMOTE if is_remote else _HAS_IS_REMOTE)


def span_times(start_ns: int, end_ns: int) -> bytes:
    """Write the start and the end of a span, in unix ns."""
    return _TIMES(START_TIME, start_ns, END_TIME, end_ns)


def varint(number: int) -> bytes:
    """Write a number of at least 0."""
    if number < 0x80:  # noqa: PLR2004 - seven bits a byte
        return _SHORT[number]
    if number < 0x20_0000:  # noqa: PLR2004 - three bytes
        low = _MORE[number & 0x7F]
        if number < 0x4000:  # noqa: PLR2004 - two bytes
            return low + _SHORT[number >> 7]
        return low + _MORE[number >> 7 & 0x7F] + _SHORT[number >> 14]
    octets = bytearray()
    while number >= 0x80:  # noqa: PLR2004 - as above
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def delimited(tag: bytes, content: bytes) -> bytes:
    """Write a field whose content has a length: a text, bytes or a message."""
    return tag + varint(len(content)) + content


def attribute(tag: bytes, name: str, value: object) -> bytes:
    """Write an attribute with a plain value.

    Args:
        tag: The tag of the field that holds it, such as `SPAN_ATTRIBUTE`.
        name: Its name.
        value: A text, a boolean, an integer of 64 bits, a float or a tuple of these.

    Raises:
        TypeError: The value is of another type.
        OverflowError: The integer has more than 64 bits.
        UnicodeEncodeError: A text has no UTF-8, as with half of a surrogate pair.
    """
    return delimited(tag, delimited(KEY, name.encode()) + delimited(_VALUE, _any(value)))


def _any(value: Any) -> bytes:
    kind = type(value)
    if kind is str:
        return delimited(TEXT, value.encode())
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is int:
        return INT + int64(value)
    if kind is float:
        return _DOUBLE_TAG + pack_double(value)
    if kind is tuple:
        return delimited(_ARRAY, b"".join(delimited(_ITEM, _any(item)) for item in value))
    raise TypeError(kind)


def int64(number: int) -> bytes:
    """Write an integer.

    Raises:
        OverflowError: It has more than 64 bits.
    """
    if not _LOWEST <= number <= HIGHEST:
        raise OverflowError(number)
    return varint(number & _64_BITS)


class TextAttribute:
    """A span's attribute with this name and a text.

    Args:
        name: The attribute's name.

    Attributes:
        prefixes: By the text's size in bytes, below 128, what comes before the text. Code that
            knows a size writes `fields += (prefixes[size], text)`, and saves a call.
    """

    __slots__ = ("_key", "prefixes")

    def __init__(self, name: str) -> None:
        self._key = delimited(KEY, name.encode())
        self.prefixes: tuple[bytes, ...] = tuple(map(self._prefix, range(PREPARED)))

    def append(self, fields: list[bytes], text: bytes) -> None:
        """Append the attribute; `text` is UTF-8, which is not checked."""
        size = len(text)
        fields.append(self.prefixes[size] if size < PREPARED else self._prefix(size))
        fields.append(text)

    def _prefix(self, size: int) -> bytes:
        return prefix_of(self._key, TEXT + varint(size), size)


def prefix_of(key: bytes, start: bytes, size: int, tag: bytes = SPAN_ATTRIBUTE) -> bytes:
    """Return what comes before the last bytes of an attribute.

    Args:
        key: The attribute's key, as a field.
        start: How the value begins.
        size: How many bytes follow.
        tag: The tag of the field that holds it.
    """
    value = _VALUE + varint(len(start) + size) + start
    return tag + varint(len(key) + len(value) + size) + key + value


class IntAttribute:
    """A span's attribute with this name and an integer."""

    __slots__ = ("_last", "_prefixes")

    def __init__(self, name: str) -> None:
        key = delimited(KEY, name.encode())
        # By the size of the number, which is 1 to 10 bytes.
        self._prefixes = tuple(
            SPAN_ATTRIBUTE + varint(len(key) + size + 3) + key + _VALUE + varint(size + 1) + INT
            for size in range(11)
        )
        # Times and offsets of spans that follow each other differ in their lowest bits alone.
        # This is what the last number's higher bits were, and how an attribute begins and ends
        # with them.
        self._last = (0, b"", b"")

    def append(self, fields: list[bytes], number: int) -> None:
        """Append the attribute.

        Raises:
            OverflowError: The number has more than 64 bits.
        """
        high, prefix, end = self._last
        if number >> 14 != high or high == 0:
            content = int64(number)
            prefix = self._prefixes[len(content)]
            if number < 1 << 14:
                fields.append(prefix)
                fields.append(content)
                return
            end = content[2:]
            self._last = (number >> 14, prefix, end)
        fields.append(prefix)
        fields.append(_MORE[number & 0x7F])
        fields.append(_MORE[number >> 7 & 0x7F])
        fields.append(end)

    def by_octet(self, number: int) -> tuple[int, bytes, bytes]:
        """Return how numbers are written that differ from this one in their lowest 7 bits alone.

        Returns:
            The highest bit of the octet with these bits, and what comes before and after it.

        Raises:
            OverflowError: The number has more than 64 bits.
        """
        content = int64(number)
        return content[0] & 0x80, self._prefixes[len(content)], content[1:]

    def near(self, number: int, octets: int) -> tuple[int, bytes, bytes]:
        """Return how numbers are written that differ from this one in their lowest bits alone.

        Args:
            number: One of them, which needs more octets.
            octets: How many octets differ, of seven bits each.

        Returns:
            The least of these numbers, and what comes before and after the octets that differ.
            All of these octets have their highest bit set.

        Raises:
            OverflowError: The number has more than 64 bits.
            ValueError: It needs no more octets.
        """
        content = int64(number)
        if len(content) <= octets:
            raise ValueError(number)
        bits = 7 * octets
        return number >> bits << bits, self._prefixes[len(content)], content[octets:]


class DoubleAttribute:
    """A span's attribute with this name and a float.

    Attributes:
        prefix: What comes before the number, which `pack_double` writes.
    """

    __slots__ = ("prefix",)

    def __init__(self, name: str) -> None:
        self.prefix: bytes = attribute(SPAN_ATTRIBUTE, name, 0.0)[:-8]

    def append(self, fields: list[bytes], number: float) -> None:
        """Append the attribute."""
        fields.append(self.prefix)
        fields.append(pack_double(number))
