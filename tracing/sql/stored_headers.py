"""Record headers as one column: a JSON array of pairs, each byte of a value one character.

So values that are text can be read in the database, and any bytes come back as they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tracing.headers.codec import header_fault

if TYPE_CHECKING:
    from tracing.headers.codec import Header


def checked(headers: Iterable[Header]) -> list[Header]:
    """Copy headers that a producer will take.

    Raises:
        TypeError: One is no pair of a text and bytes or `None`.
        ValueError: A name cannot be written as UTF-8.
    """
    if not isinstance(headers, Mapping) and isinstance(headers, Iterable):
        headers = list(headers)
    fault = header_fault(headers)
    if fault is not None:
        raise TypeError(fault)
    found = [(name, value) for name, value in headers]
    for name, _ in found:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the header name {name!r} cannot be written as UTF-8") from None
    return found


def pack(headers: Iterable[Header]) -> bytes:
    """Write headers."""
    pairs = [[name, None if value is None else value.decode("latin-1")] for name, value in headers]
    return json.dumps(pairs, separators=(",", ":")).encode()


def unpack(packed: bytes) -> list[Header]:
    """Read headers.

    Raises:
        ValueError: They were not written by `pack`.
    """
    try:
        return [
            (str(name), None if value is None else value.encode("latin-1"))
            for name, value in json.loads(packed)
        ]
    except (TypeError, AttributeError) as error:
        raise ValueError("the stored headers cannot be read") from error
