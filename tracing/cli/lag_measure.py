"""The measurements of `lag` at a terminal: once, for a while, or again and again."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from tracing.cli.terminal import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracing.lag.model import Sweep
    from tracing.lag.monitor import LagMonitor

USUAL_S: Final = 12.0
"""How long a table is measured for at most: clients commit every 5 seconds by default, and a group
is judged by whether it commits in half of the time."""

_SWEEPS: Final = 12
# A judgement needs measurements of a whole window.
_WINDOW: Final = 0.9


@dataclass(frozen=True, slots=True)
class Measuring:
    """How long to measure.

    Attributes:
        for_s: For how long, in seconds, before the only result; `None` for one result after
            another.
        until_known: Whether to stop earlier if every status is known.
    """

    for_s: float | None
    until_known: bool = False

    @classmethod
    def of(cls, for_s: float | None, *, once: bool, at_once_by_default: bool) -> Measuring:
        """Choose how long to measure.

        Args:
            for_s: What the user said, in seconds; `None` for nothing.
            once: Whether there is only one result.
            at_once_by_default: Whether the first measurement is the result by default.

        Raises:
            click.UsageError: The user gave a time for more than one result.
        """
        if not once:
            if for_s is not None:
                raise click.UsageError("--for prints one result: omit --watch and --daemon")
            return cls(None)
        if for_s is not None:
            return cls(for_s)
        return cls(0) if at_once_by_default else cls(USUAL_S, until_known=True)

    @property
    def window_s(self) -> float | None:
        """The time over which groups are judged, in seconds; `None` where others decide."""
        return _WINDOW * self.for_s if self.for_s else None

    @property
    def interval_s(self) -> float | None:
        """The time between measurements, in seconds; `None` where others decide."""
        return self.for_s / _SWEEPS if self.for_s else None

    async def show(
        self,
        monitor: LagMonitor,
        groups: Sequence[str],
        topics: Sequence[str],
        show: Callable[[Sweep], None],
    ) -> None:
        """Measure, and show the results.

        Raises:
            click.ClickException: A group or a topic that the user named is missing.
        """
        started: float | None = None
        with waiting("measuring", self.for_s) as done:
            async with monitor, aclosing(monitor.sweeps()) as sweeps:
                async for sweep in sweeps:
                    if started is None:
                        _check_named(sweep, groups, topics)
                        started = sweep.at
                    if self.for_s is None:
                        show(sweep)
                    elif self._is_last(sweep, started):
                        done()
                        show(sweep)
                        return

    def _is_last(self, sweep: Sweep, started: float) -> bool:
        if self.until_known and all(group.status is not None for group in sweep.groups):
            return True
        return sweep.at - started >= (self.for_s or 0)


def _check_named(sweep: Sweep, groups: Sequence[str], topics: Sequence[str]) -> None:
    """Explain why a named group or topic is missing.

    Raises:
        click.ClickException: One is missing.
    """
    present_groups = {group.group for group in sweep.groups}
    present_topics = {part.topic for group in sweep.groups for part in group.partitions}
    present_topics |= {depth.topic for depth in sweep.dead_letters}
    missing = [f"group {name}" for name in groups if name not in present_groups]
    missing += [f"topic {name}" for name in topics if name not in present_topics]
    if not missing:
        return
    for what in missing:
        if (right := f"Describe on {what}") in sweep.missing_rights:
            raise click.ClickException(f"the cluster does not allow {right}")
        for answer in sweep.unanswered:
            if answer.startswith(f"{what}: "):
                raise click.ClickException(f"the cluster does not answer for {answer}")
    raise click.ClickException(
        f"no offset is committed for {' and '.join(missing)}; check the name, and whether the "
        "cluster allows Describe on it"
    )
