"""How far a replay is, how fast it goes and how long it will take: for people and as metrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal

from tracing.core import semconv
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tracing.metrics.metric import Labels
    from tracing.replay.positions import LogPartition, Position
    from tracing.telemetry import Telemetry

Phase = Literal["copying", "replaying", "switching", "cleaning", "done"]
"""What a replay does: copy the active rows, apply records, switch over, remove old rows."""

_WINDOW_S: Final = 10.0
_OUTCOMES: Final = ("applied", "ignored", "undecodable", "skipped")


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """The state of a replay.

    Attributes:
        read_model: The read model.
        generation: The generation that is built.
        phase: What the replay does now.
        applied: Records whose events were applied, by this process.
        ignored: Records of unknown types, or of no interest.
        undecodable: Records that no consumer can decode, and are left out.
        skipped: Dead letters that were replayed for other groups, and are left out.
        remaining: Offsets to go; in a log with gaps, there are fewer records.
        rate: Records per second, of late.
        left_s: Seconds to go at this rate; `None` before it is known.
        elapsed_s: Seconds since this process began.
        resumed: Whether it goes on where an earlier one was interrupted.
    """

    read_model: str
    generation: int
    phase: Phase
    applied: int
    ignored: int
    undecodable: int
    skipped: int
    remaining: int
    rate: float
    left_s: float | None
    elapsed_s: float
    resumed: bool

    @property
    def records(self) -> int:
        """All records that were read."""
        return self.applied + self.ignored + self.undecodable + self.skipped


ProgressCallback = Callable[[ReplayProgress], None]
"""Receives the progress after every batch. It must be quick; what it raises ends the replay."""


class Account:
    """Counts what a replay does, for its progress and its metrics. For one task.

    Args:
        telemetry: The telemetry that counts the records.
        read_model: The read model.
        generation: The generation that is built.
        resumed: Whether it goes on where an earlier one was interrupted.
    """

    def __init__(
        self, telemetry: Telemetry, read_model: str, generation: int, *, resumed: bool
    ) -> None:
        self._read_model, self._generation, self._resumed = read_model, generation, resumed
        self._labels: Labels = {semconv.PROJECTION_LABEL: read_model}
        self._done = dict.fromkeys(_OUTCOMES, 0)
        self._counts = {
            outcome: telemetry.metrics.count(
                catalog.REPLAY_RECORDS, {**self._labels, semconv.OUTCOME_LABEL: outcome}
            )
            for outcome in _OUTCOMES
        }
        self._started = monotonic()
        self._recent: deque[tuple[float, int]] = deque([(self._started, 0)])
        self._remaining = 0
        self.phase: Phase = "replaying"
        self._end_reading = telemetry.metrics.observe(
            catalog.REPLAY_REMAINING, self._readings, key=f"replay {read_model}"
        )

    def read(self, outcome: str, number: int) -> None:
        """Count records by what became of them."""
        self._done[outcome] += number
        self._counts[outcome].value += number

    def measure(
        self, targets: Mapping[LogPartition, int], positions: Mapping[LogPartition, Position]
    ) -> None:
        """Note what is left to do."""
        self._remaining = sum(
            max(0, target - positions[partition].next_offset)
            for partition, target in targets.items()
            if partition in positions
        )
        now = monotonic()
        self._recent.append((now, sum(self._done.values())))
        while len(self._recent) > 2 and now - self._recent[0][0] > _WINDOW_S:  # noqa: PLR2004 - one interval
            self._recent.popleft()

    def progress(self) -> ReplayProgress:
        """Return the state of the replay."""
        (since, before), (now, done) = self._recent[0], self._recent[-1]
        rate = (done - before) / (now - since) if now > since else 0.0
        left_s = 0.0 if not self._remaining else self._remaining / rate if rate else None
        return ReplayProgress(
            self._read_model,
            self._generation,
            self.phase,
            self._done["applied"],
            self._done["ignored"],
            self._done["undecodable"],
            self._done["skipped"],
            self._remaining,
            rate,
            left_s,
            monotonic() - self._started,
            self._resumed,
        )

    def close(self) -> None:
        """Take the gauge away: nothing remains of a replay that has ended."""
        self._end_reading()

    def _readings(self) -> Iterable[tuple[Labels, float]]:
        return [(self._labels, float(self._remaining))]
