"""The result of a storm, for checks and for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.saga_counts import Delays, SagaCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class StormResult:
    """The result of a storm.

    Attributes:
        accepted: Number of orders that were accepted over HTTP.
        refused: Number of orders that were refused because the shop was down.
        placing_s: How long orders were placed, in seconds.
        drained_s: How long the shop then took to finish all orders, in seconds.
        redelivered: Number of records that a service handled again.
        sagas: How many sagas started, and how they ended.
        delays: Steps and sagas that ran into time-outs.
        sagas_without_span: Number of sagas whose span was lost with a killed process.
        exports: How often totals were exported.
        discrepancies: Contradictions between the databases; empty if all is well.
        trace_problems: Orders and sagas with spans outside the customer's trace.
        metric_problems: Metrics that contradict the databases.
    """

    accepted: int
    refused: int
    placing_s: float
    drained_s: float
    redelivered: int
    sagas: SagaCounts
    delays: Delays
    sagas_without_span: int
    exports: int
    discrepancies: tuple[str, ...]
    trace_problems: tuple[str, ...]
    metric_problems: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Accepted orders per second."""
        return self.accepted / self.placing_s

    @property
    def problems(self) -> tuple[str, ...]:
        """All problems; empty if all is well."""
        return (*self.discrepancies, *self.trace_problems, *self.metric_problems)

    def __str__(self) -> str:
        orders = f"{self.accepted} orders accepted in {self.placing_s:.0f} s"
        delays = self.delays
        steps = f"{delays.asked_again} steps requested again, {delays.given_up} given up"
        return "\n".join(
            (
                f"{orders} ({self.rate:.1f}/s), {self.refused} refused",
                f"all done {self.drained_s:.1f} s later, {self.redelivered} records redelivered",
                str(self.sagas),
                f"{steps}, {delays.overdue} sagas overdue",
                f"{self.sagas_without_span} sagas without a span, {self.exports} exports of totals",
                *(
                    self.problems
                    or ["nothing lost, nothing doubled, all traces whole, all metrics correct"]
                ),
            )
        )
