"""What a storm left, for checks and for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.figures import Delays, SagaFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What a storm left.

    Attributes:
        accepted: Orders that were accepted over HTTP.
        refused: Orders that were not, because the shop was down.
        placing_s: For how long orders were placed, in seconds.
        drained_s: How long it took afterwards until all were done, in seconds.
        redelivered: Records that a service handled again.
        sagas: How many sagas there were, and what became of them.
        delays: Where sagas waited in vain.
        untold: Sagas without a span of their own: it went with the process that was to export it.
        exports: How often totals were exported.
        discrepancies: What does not add up in the databases; nothing when all is well.
        torn: Orders and sagas whose spans are not all in the trace that the customer was told.
        mismeasured: Where metrics do not say what is in the databases.
    """

    accepted: int
    refused: int
    placing_s: float
    drained_s: float
    redelivered: int
    sagas: SagaFigures
    delays: Delays
    untold: int
    exports: int
    discrepancies: tuple[str, ...]
    torn: tuple[str, ...]
    mismeasured: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Accepted orders per second."""
        return self.accepted / self.placing_s

    @property
    def problems(self) -> tuple[str, ...]:
        """All that is not as it must be."""
        return (*self.discrepancies, *self.torn, *self.mismeasured)

    def __str__(self) -> str:
        orders = f"{self.accepted} orders accepted in {self.placing_s:.0f} s"
        delays = self.delays
        waited = f"{delays.asked_again} steps asked for again, {delays.given_up} given up"
        return "\n".join(
            (
                f"{orders} ({self.rate:.1f}/s), {self.refused} refused",
                f"all done {self.drained_s:.1f} s later, {self.redelivered} records redelivered",
                str(self.sagas),
                f"{waited}, {delays.overdue} sagas overdue",
                f"{self.untold} sagas without their own span, {self.exports} exports of totals",
                *(
                    self.problems
                    or ["nothing lost, nothing doubled, all traces joined, all metrics true"]
                ),
            )
        )
