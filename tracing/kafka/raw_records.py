"""One record of a batch, read from its bytes, with the reason where it is unreadable.

Source: https://kafka.apache.org/documentation/#record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_VARINT: Final = 10
_MORE: Final = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRecord:
    r"""A record that was read from its bytes, or the bytes themselves where they are unreadable.

    Attributes:
        offset: Its offset.
        next_offset: The offset after it; of a batch that cannot be opened, the offset after it.
        timestamp_ms: Unix ms; -1 where it has none.
        timestamp_type: 0 for the time of creation, 1 for the time of arrival in the log.
        key: Its key.
        value: Its value; all bytes where they are unreadable.
        headers: Its headers; bytes of a name that are not UTF-8 appear as `\xff`.
        problem: Why a client cannot read it; `None` where it can.
        whole: Whether key, value and headers are the record's own.
    """

    offset: int
    next_offset: int
    timestamp_ms: int
    timestamp_type: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    problem: str | None = None
    whole: bool = True


def record_of(
    data: memoryview,
    *,
    expected: int,
    base_offset: int,
    end: int,
    timed: Callable[[int], tuple[int, int]],
) -> RawRecord:
    """Read a record from its bytes. Never raises.

    Args:
        data: The bytes after its length.
        expected: The lowest offset that it can have.
        base_offset: The offset that its own is relative to.
        end: The first offset that is too high.
        timed: Returns its time and the type of time, from its relative milliseconds.
    """
    try:
        # The first byte is reserved for attributes; none are defined.
        delta_ms, position = _varint(data, 1)
        delta, position = _varint(data, position)
        offset = base_offset + delta
        if not expected <= offset < end:
            _refuse("its offset is impossible")
        key, position = _sized(data, position)
        value, position = _sized(data, position)
        headers, problem, position = _headers(data, position)
        if position != len(data):
            _refuse("its length is wrong")
    except (ValueError, IndexError) as error:
        return bytes_of(data, expected, expected + 1, timed(0)[0], str(error))
    timestamp_ms, timestamp_type = timed(delta_ms)
    return RawRecord(
        offset=offset,
        next_offset=offset + 1,
        timestamp_ms=timestamp_ms,
        timestamp_type=timestamp_type,
        key=key,
        value=value,
        headers=headers,
        problem=problem,
    )


def bytes_of(
    data: memoryview, offset: int, next_offset: int, timestamp_ms: int, problem: str
) -> RawRecord:
    """Make a record of unreadable bytes."""
    return RawRecord(
        offset=offset,
        next_offset=max(next_offset, offset + 1),
        timestamp_ms=timestamp_ms,
        value=bytes(data),
        problem=problem,
        whole=False,
    )


def extent(data: memoryview, position: int) -> tuple[int, int]:
    """Return where a record begins and ends; its length is at the position.

    Raises:
        ValueError: The length is impossible.
    """
    length, start = _varint(data, position)
    if not 0 <= length <= len(data) - start:
        _refuse("its length is impossible")
    return start, start + length


def _headers(
    data: memoryview, position: int
) -> tuple[tuple[tuple[str, bytes | None], ...], str | None, int]:
    number, position = _varint(data, position)
    if number < 0:
        _refuse("its number of headers is negative")
    headers: list[tuple[str, bytes | None]] = []
    problem = None
    for _ in range(number):
        name, position = _sized(data, position)
        if name is None:
            _refuse("a header has no name")
        value, position = _sized(data, position)
        try:
            headers.append((name.decode(), value))
        except UnicodeDecodeError:
            problem = "the name of a header is not UTF-8"
            headers.append((name.decode("utf-8", "backslashreplace"), value))
    return tuple(headers), problem, position


def _sized(data: memoryview, position: int) -> tuple[bytes | None, int]:
    """Read bytes after their length; a negative length means `None`."""
    length, position = _varint(data, position)
    if length < 0:
        return None, position
    if length > len(data) - position:
        _refuse("a part of it is longer than the whole")
    return bytes(data[position : position + length]), position + length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Read a number in the zigzag encoding of Protocol Buffers; also return where it ends."""
    value = 0
    for index in range(_MAX_VARINT):
        if position + index >= len(data):
            _refuse("it is cut off")
        byte = data[position + index]
        value |= (byte & ~_MORE) << (7 * index)
        if not byte & _MORE:
            return (value >> 1) ^ -(value & 1), position + index + 1
    raise ValueError("a number in it never ends")


def _refuse(why: str) -> NoReturn:
    raise ValueError(why)
