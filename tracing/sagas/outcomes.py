"""How sagas and their steps end: closed sets, because they are metric labels."""

from typing import Final, Literal

SagaOutcome = Literal["completed", "compensated", "failed"]
"""How a saga ends. `failed`: its compensation could not finish, and it needs a human."""

StepOutcome = Literal["ok", "rejected", "error"]
"""How a step ends. `rejected` is the business saying no, which is not an error."""

SAGA_OUTCOMES: Final[tuple[SagaOutcome, ...]] = ("completed", "compensated", "failed")
STEP_OUTCOMES: Final[tuple[StepOutcome, ...]] = ("ok", "rejected", "error")
FAILED: Final[SagaOutcome] = "failed"
STEP_ERROR: Final[StepOutcome] = "error"
STEP_OK: Final[StepOutcome] = "ok"
