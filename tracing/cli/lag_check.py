"""The check of `lag --fail-if-over`: which groups are behind for too long, or perhaps are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tracing.core.text import printable
from tracing.core.times import duration

if TYPE_CHECKING:
    from tracing.lag.model import Sweep

_NOTHING: Final = "no consumer group was measured"
_DESCRIBE: Final = "Describe on "


@dataclass(frozen=True, slots=True)
class LagCheck:
    """The result of a check. What is unknown does not pass.

    Attributes:
        limit_s: The longest time that a record may wait, in seconds.
        over: Groups whose oldest record has waited for longer, with the seconds.
        unknown: What could not be measured: groups with a record that has waited for an unknown
            time, rights to describe, and what did not answer.
    """

    limit_s: float
    over: dict[str, float]
    unknown: tuple[str, ...]

    @classmethod
    def of(cls, sweep: Sweep, limit_s: float) -> LagCheck:
        """Check a sweep. Partitions that a group has abandoned do not count, nor does history."""
        over: dict[str, float] = {}
        unknown: list[str] = []
        for group in sweep.groups:
            known = [part.flow_lag_s for part in group.current if part.flow_lag_s is not None]
            if max(known, default=0.0) > limit_s:
                over[group.group] = max(known)
            elif len(known) < len(group.current):
                unknown.append(f"group {group.group}")
        # The right to read is not needed where the time is known without it.
        unknown += [right for right in sweep.missing_rights if right.startswith(_DESCRIBE)]
        unknown += sweep.unanswered
        if not sweep.groups:
            unknown.append(_NOTHING)
        return cls(limit_s, over, tuple(unknown))

    @property
    def passed(self) -> bool:
        """Whether no group is over the limit, and nothing is unknown."""
        return not self.over and not self.unknown

    def document(self) -> dict[str, Any]:
        """Return the result as data for JSON."""
        return {
            "limit_s": self.limit_s,
            "passed": self.passed,
            "over": {group: round(lag_s, 3) for group, lag_s in self.over.items()},
            "unknown": list(self.unknown),
        }

    def __str__(self) -> str:
        limit = duration(self.limit_s, exact=True)
        over = ", ".join(
            f"{printable(group)} ({duration(lag_s, exact=True)})"
            for group, lag_s in sorted(self.over.items(), key=lambda item: -item[1])
        )
        unknown = ", ".join(map(printable, self.unknown))
        parts = ((over, f"over {limit}: {over}"), (unknown, f"unknown: {unknown}"))
        return "; ".join(text for names, text in parts if names)
