"""How long a saga waits for answers, and how often it repeats a command."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """The deadlines of a saga.

    Attributes:
        saga_s: Seconds until the saga is overdue; it then compensates, unless the pivot is done.
        step_s: Seconds to wait for the answer to a step's command.
        step_attempts: How often the command is sent before the saga compensates.
        compensation_s: Seconds to wait for the answer to a compensation's first command; the wait
            doubles with each attempt.
        compensation_attempts: How often the command is sent before the saga fails.
    """

    saga_s: float
    step_s: float
    step_attempts: int
    compensation_s: float
    compensation_attempts: int


QUICK: Final = Deadlines(
    saga_s=10.0, step_s=4.0, step_attempts=4, compensation_s=1.5, compensation_attempts=3
)
"""For runs of a few seconds that show everything."""

PATIENT: Final = Deadlines(
    saga_s=60.0, step_s=30.0, step_attempts=3, compensation_s=30.0, compensation_attempts=5
)
"""For long-running services: longer than a restart or a rebalance takes."""
