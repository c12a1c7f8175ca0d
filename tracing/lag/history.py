"""What is remembered from sweep to sweep about each group's partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracing.lag.status import covering, judge

if TYPE_CHECKING:
    from aiokafka.structs import TopicPartition

    from tracing.lag.model import Status
    from tracing.lag.status import Sample


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
