"""The shutdown of export: all signals at once, within a time, with one log line about losses."""

from __future__ import annotations

import atexit
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from tracing.core.ids import in_forked_child
from tracing.core.log import EventLog, warn_once
from tracing.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tracing.export.account import ExportAccount

DEFAULT_TIMEOUT_S: Final = 5.0
"""Far below the 30 s after which Kubernetes kills: the application needs time too."""

# The share of the time that the parts get, so that they return before it is over.
_SHARE: Final = 0.9

_logger = EventLog("tracing")


class Ending:
    """The shutdown of one service's telemetry, which happens once. Safe in any thread.

    Args:
        parts: Shut one signal down each; called with the time of the monotonic clock by which
            to return.
        account: Counts losses.
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
            # A forked child cannot wait for a shutdown that its parent performs.
            self.over.set()

    def claim(self) -> bool:
        """Return whether the caller is the one to shut down."""
        with self._lock:
            claimed, self._begun = not self._begun, True
        _open.pop(id(self), None)
        return claimed


_open: dict[int, Ending] = {}
"""All that are not shut down yet; the interpreter's exit does it."""


def shut_down(endings: Iterable[Ending], timeout_s: float) -> None:
    """Export what is pending and stop, all at once; log losses in one line.

    It returns when everything is exported or the time is over. A second call, from any thread,
    waits for the first one.
    """
    deadline = time.monotonic() + timeout_s
    to_end = tuple(endings)
    claimed = [ending for ending in to_end if ending.claim()]
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
    for ending in to_end:
        ending.over.wait(max(0.0, deadline - time.monotonic()))


def at_once(acts: Iterable[Callable[[], object]], deadline: float) -> list[object]:
    """Call functions in a thread each, until a time of the monotonic clock.

    Returns:
        The results of those that returned by then. Errors are logged.
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
            # An exiting interpreter starts no more threads; the parts keep to their deadline.
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
    said = ", ".join(
        counted(items, name.removesuffix("s")) for name, items in lost.items() if items
    )
    if said:
        causes = {ending.account.cause for ending in endings if ending.account.cause}
        why = f"; last cause: {min(causes)}" if causes else ""
        _logger.warning(
            "telemetry was lost at shutdown, which may take %g s: %s%s", timeout_s, said, why
        )


def _at_exit() -> None:
    shut_down(tuple(_open.values()), DEFAULT_TIMEOUT_S)


# Registered before the application's own exit functions, so it is called after them.
atexit.register(_at_exit)
