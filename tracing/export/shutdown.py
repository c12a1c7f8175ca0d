"""The end of exporting: all signals at once, within a time, and one line about what was lost."""

from __future__ import annotations

import atexit
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from tracing.core.ids import in_forked_child
from tracing.core.log import EventLog, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tracing.export.account import ExportAccount

DEFAULT_TIMEOUT_S: Final = 5.0
"""Far below the 30 s after which Kubernetes kills, so that the application has time of its own."""

# What the parts are given of the time, so that they have returned when it is over.
_SHARE: Final = 0.9

_logger = EventLog("tracing")


class Ending:
    """The end of one service's telemetry, which comes once. Safe in any thread.

    Args:
        parts: What shuts each signal down; called with the time of the monotonic clock by which
            it should be done.
        account: Where losses are counted.
    """

    def __init__(self, parts: Sequence[Callable[[float], object]], account: ExportAccount) -> None:
        self.parts = tuple(parts)
        self.account = account
        self._begun = False
        self._reset()
        in_forked_child(self._reset)
        _open[id(self)] = self

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self.over = threading.Event()
        if self._begun:
            # In a forked child nothing brings the parent's end about.
            self.over.set()

    def claim(self) -> bool:
        """Whether the caller is the one that brings the end about."""
        with self._lock:
            claimed, self._begun = not self._begun, True
        _open.pop(id(self), None)
        return claimed


_open: dict[int, Ending] = {}
"""Those that are still to end: at the latest when the interpreter exits."""


def shut_down(endings: Iterable[Ending], timeout_s: float) -> None:
    """Export what is pending and stop, all at once; log in one line what was lost.

    Returns when everything is exported or the time is over. Called again, or by several threads,
    it waits for the first call.
    """
    deadline = time.monotonic() + timeout_s
    given = tuple(endings)
    claimed = [ending for ending in given if ending.claim()]
    before = [ending.account.losses() for ending in claimed]
    for ending in claimed:
        ending.account.ending = True
    at_once(
        [
            partial(part, time.monotonic() + timeout_s * _SHARE)
            for ending in claimed
            for part in ending.parts
        ],
        deadline,
    )
    _log_losses(claimed, before, timeout_s)
    for ending in claimed:
        ending.over.set()
    for ending in given:
        ending.over.wait(max(0.0, deadline - time.monotonic()))


def at_once(acts: Iterable[Callable[[], object]], deadline: float) -> list[object]:
    """Do things in threads of their own until a moment of the monotonic clock.

    Returns:
        What those returned that were done by then. What one raises is logged.
    """
    results: list[object] = []

    def do(act: Callable[[], object]) -> None:
        try:
            results.append(act())
        except Exception as error:
            warn_once("a part of the telemetry could not be flushed or stopped", error=error)

    threads = [threading.Thread(target=do, args=(act,), daemon=True) for act in acts]
    for thread in threads:
        try:
            thread.start()
        except RuntimeError:
            # An interpreter that exits starts no threads any more; the parts have their deadline.
            thread.run()
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
    return list(results)


def _log_losses(
    endings: Sequence[Ending], before: Sequence[dict[str, int]], timeout_s: float
) -> None:
    lost: dict[str, int] = {}
    for ending, earlier in zip(endings, before, strict=True):
        for name, items in ending.account.losses().items():
            lost[name] = lost.get(name, 0) + items - earlier[name]
    said = ", ".join(f"{items} {name}" for name, items in lost.items() if items)
    if said:
        causes = {ending.account.cause for ending in endings if ending.account.cause}
        why = f"; last cause: {min(causes)}" if causes else ""
        _logger.warning(
            "telemetry was lost at shutdown, which may take %g s: %s%s", timeout_s, said, why
        )


def _at_exit() -> None:
    shut_down(tuple(_open.values()), DEFAULT_TIMEOUT_S)


# Before those of the application, which are registered later and called first.
atexit.register(_at_exit)
