"""Bounds for what is looked up once for each topic or partition: names may never stop coming."""

from __future__ import annotations

from typing import Final, TypeVar

MAX_KEPT: Final = 10_000
"""More than one client has topics and partitions to itself at a time."""

Key = TypeVar("Key")
Value = TypeVar("Value")


def keep(cache: dict[Key, Value], key: Key, value: Value) -> Value:
    """Keep a value and return it; where there are too many, the first one makes place.

    Metric series are not lost by that: whoever asks for them again finds those that there are.
    """
    if len(cache) >= MAX_KEPT:
        del cache[next(iter(cache))]
    cache[key] = value
    return value
