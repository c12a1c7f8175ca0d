"""A clock that only a scenario moves, so that two runs of it measure the same."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from tracing.testing import record_conversion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_NS: Final = 1_800_000_000_123_456_789
_PACKAGES: Final = ("tracing", "opentelemetry")


class FixedClock:
    """Wall clock and performance counter of the library and the SDK. The event loop has its own."""

    def __init__(self) -> None:
        self._passed_ns = 0

    @property
    def now_ms(self) -> int:
        return self.time_ns() // 1_000_000

    def advance(self, ms: float) -> None:
        self._passed_ns += round(ms * 1_000_000)

    def time_ns(self) -> int:
        return START_NS + self._passed_ns

    def time(self) -> float:
        return self.time_ns() / 1e9

    def perf_counter(self) -> float:
        return 1000 + self._passed_ns / 1e9


@contextmanager
def fixed_clock() -> Iterator[FixedClock]:
    """Replace the clocks that modules of the library and of the SDK have imported."""
    clock = FixedClock()
    pairs: list[tuple[Any, Any]] = [
        (time.time_ns, clock.time_ns),
        (time.time, clock.time),
        (time.perf_counter, clock.perf_counter),
    ]
    _swap(pairs)
    # The one module that asks the module `time` itself.
    vars(record_conversion)["time"] = SimpleNamespace(time_ns=clock.time_ns)
    try:
        yield clock
    finally:
        # Modules that were imported in between have the fixed clock, too.
        _swap([(fake, real) for real, fake in pairs])
        vars(record_conversion)["time"] = time


def _swap(pairs: Sequence[tuple[Any, Any]]) -> None:
    by_id = {id(before): after for before, after in pairs}
    for name, attribute in _places(len(sys.modules)):
        names = vars(sys.modules[name])
        after = by_id.get(id(names.get(attribute)))
        if after is not None:
            names[attribute] = after


@cache
def _places(_modules: int) -> Sequence[tuple[str, str]]:
    """Return where modules hold a clock; found once, until there are more modules."""
    names = {"time_ns", "time", "perf_counter"}
    return [
        (name, attribute)
        for name, module in tuple(sys.modules.items())
        if name.startswith(_PACKAGES)
        for attribute, value in tuple(vars(module).items())
        if getattr(value, "__name__", None) in names
    ]
