"""From what was seen of a partition over a while to how its group does.

The idea is Burrow's: judge how offsets move over a sliding window, and no threshold has to be
tuned. Source: https://github.com/linkedin/Burrow/wiki/Consumer-Lag-Evaluation-Rules. Burrow reads
each commit off a topic that takes an administrator's rights. Here, offsets are looked at from time
to time, which needs other words for the same rules. The first one that fits holds:

1. No record waits: **ok**.
2. The window is covered, a record waited in all of it, and the committed offset never moved:
   **stalled** if a member had the partition at any time in the newer half of the window, else
   **dead**. (Burrow's rules 2 and 4.)
3. What the partition held half a window ago has been committed since: **ok**. (Burrow's rule 1,
   for consumers that commit while records keep coming.)
4. The window is covered, and the least lag of its newer half is not below the least lag of its
   older half: **lagging**. (Burrow's rule 3. The least lag of a half, because between two commits
   any lag grows.)
5. The window is covered: **ok**, it is catching up.
6. Else it is not known yet.

So a consumer that dies under load is ok for half a window, then lagging, and after a whole window
dead or stalled. A consumer is expected to commit at least every half window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tracing.lag.model import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka.structs import TopicPartition


class Sample(NamedTuple):
    """A partition at one moment.

    Attributes:
        at: The moment, in seconds; only differences count.
        committed: The group's offset.
        end: The log's end.
        waiting: Whether a record waits; there may be offsets without one.
        assigned: Whether a member has the partition; `None` where that is not known.
    """

    at: float
    committed: int
    end: int
    waiting: bool
    assigned: bool | None

    @property
    def lag(self) -> int:
        """Offsets not committed; 0 where no record waits."""
        return max(0, self.end - self.committed) if self.waiting else 0


def covering(samples: Sequence[Sample], window_s: float) -> Sequence[Sample]:
    """Leave out what is too old to matter: all but one of those before the window."""
    start = samples[-1].at - window_s
    first = 0
    while first + 1 < len(samples) and samples[first + 1].at <= start:
        first += 1
    return samples[first:]


def judge(samples: Sequence[Sample], window_s: float) -> Status | None:
    """Judge how a group does on a partition; `None` while that cannot be told.

    Args:
        samples: In the order of time, at least one, and as far back as they are known.
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
        # Where membership is not known, somebody may be there.
        held = any(sample.assigned is not False for sample in newer)
        return Status.STALLED if held else Status.DEAD
    if older and now.committed >= older[-1].end:
        return Status.OK
    if not covered:
        return None
    falls_behind = min(each.lag for each in newer) >= min(each.lag for each in older)
    return Status.LAGGING if falls_behind else Status.OK


def _unmoved(window: Sequence[Sample]) -> bool:
    committed = window[0].committed
    return all(sample.lag and sample.committed == committed for sample in window)


class History:
    """The samples of the window, by group and partition. For one task.

    Args:
        window_s: The length of the window, in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._samples: dict[tuple[str, TopicPartition], tuple[Sample, ...]] = {}
        self._counted_from: dict[tuple[str, TopicPartition], int] = {}

    def judge(self, group: str, tp: TopicPartition, sample: Sample) -> Status | None:
        """Take a sample and judge the partition by all that matter."""
        before = self._samples.get((group, tp), ())
        # A log that is shorter than it was is another one of the same name.
        if before and sample.end < before[-1].end:
            before = ()
        # Nothing that came before a moment without lag changes a judgement.
        samples = (*before, sample) if sample.lag else (sample,)
        samples = tuple(covering(samples, self._window_s))
        self._samples[group, tp] = samples
        return judge(samples, self._window_s)

    def count_from(self, group: str, tp: TopicPartition, offset: int) -> int:
        """From which offset to count where nothing is committed: what the first caller said."""
        return self._counted_from.setdefault((group, tp), offset)

    def committed(self, group: str, tp: TopicPartition) -> None:
        """Forget where to count from: the group has committed."""
        self._counted_from.pop((group, tp), None)

    def forget_before(self, moment: float) -> None:
        """Forget what was last seen before a moment, in unix seconds."""
        gone = [key for key, samples in self._samples.items() if samples[-1].at < moment]
        for key in gone:
            del self._samples[key]
            self._counted_from.pop(key, None)
