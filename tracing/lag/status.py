"""Derive a group's status on a partition from samples over a window.

The idea is Burrow's: judge how offsets move over a sliding window, so that no threshold needs
tuning. Source: https://github.com/linkedin/Burrow/wiki/Consumer-Lag-Evaluation-Rules. Burrow reads
each commit from a topic that needs an administrator's rights. This module samples offsets instead,
so the rules are worded differently. The first rule that matches decides:

1. No record waits: **ok**.
2. The samples cover the window, a record waited throughout, and the committed offset never moved:
   **stalled** if a member had the partition at any time in the newer half of the window, else
   **dead**. (Burrow's rules 2 and 4.)
3. Everything that the partition held half a window ago is committed: **ok**. (Burrow's rule 1, for
   consumers that commit while records keep arriving.) So it is if no record waited at any moment
   since then, even if the samples begin there.
4. The samples cover the window, and the smallest lag of its newer half is not below that of its
   older half: **lagging**. (Burrow's rule 3. The smallest lag, because lag always grows between two
   commits.)
5. The samples cover the window: **ok**, the group catches up.
6. Otherwise the status is unknown.

So a consumer that dies under load is ok for half a window, then lagging, and after a whole window
dead or stalled. A consumer should commit at least every half window.

Before these rules: a partition is **abandoned** while the group has members, and none of them has
the partition or subscribes to its topic. A group that rebalances does not say so, and one without
members has no subscription: half a window later, the rules above decide again. All partitions of a
group without members are abandoned while another group has replaced it (`tracing.lag.successors`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tracing.lag.model import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracing.kafka.topic_ids import Log
    from tracing.lag.catch_up import CatchUp

_OTHERWISE: Final = frozenset({Status.STALLED, Status.DEAD, Status.ABANDONED})


class Sample(NamedTuple):
    """A partition at one moment.

    Attributes:
        at: The moment, in seconds; only differences count.
        committed: The group's committed offset.
        end: The log's end.
        waiting: Whether a record waits; not every offset has one.
        assigned: Whether a member has the partition; `None` if unknown.
        abandoned: Whether the group has members, but none has the partition or subscribes to its
            topic, or another group has replaced it; `None` if unknown, or without members.
    """

    at: float
    committed: int
    end: int
    waiting: bool
    assigned: bool | None
    abandoned: bool | None = None

    @property
    def lag(self) -> int:
        """Number of uncommitted offsets; 0 if no record waits."""
        return max(0, self.end - self.committed) if self.waiting else 0


def covering(samples: Sequence[Sample], window_s: float) -> Sequence[Sample]:
    """Return the samples without those before the window, except the last of these."""
    start = samples[-1].at - window_s
    first = 0
    while first + 1 < len(samples) and samples[first + 1].at <= start:
        first += 1
    return samples[first:]


def judge(samples: Sequence[Sample], window_s: float) -> Status | None:
    """Return a group's status on a partition; `None` while it is unknown.

    Args:
        samples: All known samples in the order of time, at least one.
        window_s: The length of the window, in seconds.
    """
    now = samples[-1]
    if not now.lag:
        return Status.OK
    window = covering(samples, window_s)
    covered = window[0].at <= now.at - window_s
    middle = now.at - window_s / 2
    older = [sample for sample in window if sample.at <= middle]
    newer = [sample for sample in window if sample.at > middle]
    if covered and _unmoved(window):
        # If membership is unknown, the partition may have a member.
        held = any(sample.assigned is not False for sample in newer)
        return Status.STALLED if held else Status.DEAD
    if older and now.committed >= older[-1].end:
        return Status.OK
    if any(not sample.lag for sample in newer):
        return Status.OK
    if not covered:
        return None
    falls_behind = min(each.lag for each in newer) >= min(each.lag for each in older)
    return Status.LAGGING if falls_behind else Status.OK


def _unmoved(window: Sequence[Sample]) -> bool:
    committed = window[0].committed
    return all(sample.lag and sample.committed == committed for sample in window)


def with_history(status: Status | None, history: CatchUp | None) -> Status | None:
    """Return the status of a partition on which a group may work off history.

    To be behind by history is no reason for `lagging`. A group that does not move, or has gone, is
    late for another reason.
    """
    return status if history is None or status in _OTHERWISE else Status.CATCHING_UP


class History:
    """Samples of the window, by group and log. For one task.

    Args:
        window_s: The length of the window, in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._samples: dict[tuple[str, Log], tuple[Sample, ...]] = {}
        self._abandoned_at: dict[tuple[str, Log], float] = {}

    def judge(self, group: str, log: Log, sample: Sample) -> Status | None:
        """Add a sample and return the status of the partition."""
        before = self._samples.get((group, log), ())
        # Without topic ids, a log that became shorter belongs to a new topic of the same name.
        if before and sample.end < before[-1].end:
            before = ()
        # Samples before a moment without lag do not affect the status.
        samples = (*before, sample) if sample.lag else (sample,)
        samples = tuple(covering(samples, self._window_s))
        self._samples[group, log] = samples
        if self._is_abandoned(group, log, sample):
            return Status.ABANDONED
        return judge(samples, self._window_s)

    def _is_abandoned(self, group: str, log: Log, sample: Sample) -> bool:
        if sample.abandoned is None:
            last = self._abandoned_at.get((group, log))
            return last is not None and sample.at - last < self._window_s / 2
        if sample.abandoned:
            self._abandoned_at[group, log] = sample.at
        else:
            self._abandoned_at.pop((group, log), None)
        return sample.abandoned

    def forget_before(self, moment: float) -> None:
        """Forget logs whose last sample is older than a moment, in unix seconds."""
        gone = [key for key, samples in self._samples.items() if samples[-1].at < moment]
        for key in gone:
            del self._samples[key]
            self._abandoned_at.pop(key, None)
