"""How long a saga waits for answers, and how often it asks again."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """The patience of a saga.

    Attributes:
        saga_s: After so many seconds the saga is overdue; it turns back unless the pivot is done.
        step_s: Seconds to wait for the answer to a step's command.
        step_attempts: How often the command is given before the saga turns back.
        undo_s: Seconds to wait for the answer to a compensation's first command; the wait doubles
            with each attempt.
        undo_attempts: How often the command is given before the saga has failed.
    """

    saga_s: float
    step_s: float
    step_attempts: int
    undo_s: float
    undo_attempts: int


QUICK: Final = Deadlines(saga_s=10.0, step_s=4.0, step_attempts=4, undo_s=1.5, undo_attempts=3)
"""For runs of seconds that are to show it all."""

PATIENT: Final = Deadlines(saga_s=60.0, step_s=30.0, step_attempts=3, undo_s=30.0, undo_attempts=5)
"""For services that stay: restarts and rebalances are over before anything is given up."""
