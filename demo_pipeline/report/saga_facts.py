"""What a span tells about a saga, read as tolerantly as the rest of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = "pipeline.saga.name"
_ID: Final = "pipeline.saga.id"
_STEP: Final = "pipeline.saga.step"
_OUTCOME: Final = "pipeline.saga.outcome"
_COMPENSATION: Final = "pipeline.saga.compensation"
_OVERDUE: Final = "pipeline.saga.overdue"


@dataclass(frozen=True, slots=True)
class SagaFacts:
    """One saga, or one step of it. Texts that the span does not tell are empty.

    Attributes:
        name: What sagas of its kind are called.
        saga_id: Which one of them it is.
        step: The step or compensation; empty for the saga as a whole.
        outcome: How the saga as a whole ended: `completed`, `compensated` or `failed`.
        compensation: Whether the step undoes another one.
        overdue: Whether the saga ended after its deadline.
    """

    name: str
    saga_id: str
    step: str
    outcome: str
    compensation: bool
    overdue: bool


def read_saga(attributes: Mapping[str, object]) -> SagaFacts:
    """Read the attributes of a saga's or a step's span; never raises, whatever they are."""

    def text(key: str) -> str:
        return str(attributes.get(key, ""))

    return SagaFacts(
        name=text(_NAME) or "unknown",
        saga_id=text(_ID),
        step=text(_STEP),
        outcome=text(_OUTCOME),
        compensation=attributes.get(_COMPENSATION) is True,
        overdue=attributes.get(_OVERDUE) is True,
    )
