"""The trace context of a saga, stored as text, and the outcomes of sagas."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal, Self

from tracing.headers.w3c import TRACEPARENT, parse_traceparent

SagaOutcome = Literal["completed", "compensated", "failed"]
"""How a saga ends. `failed`: its compensation could not finish, so a person has to step in."""

StepOutcome = Literal["ok", "rejected", "error"]
"""How a step ends. `rejected` is a refusal for business reasons, not an error."""

SAGA_OUTCOMES: Final[tuple[SagaOutcome, ...]] = ("completed", "compensated", "failed")
STEP_OUTCOMES: Final[tuple[StepOutcome, ...]] = ("ok", "rejected", "error")
FAILED: Final[SagaOutcome] = "failed"
STEP_ERROR: Final[StepOutcome] = "error"
STEP_OK: Final[StepOutcome] = "ok"

_VERSION: Final = 1
_MAX_TEXT: Final = 1024 * 1024
_MAX_NS: Final = 2**63
# More than any propagator writes.
_MAX_HEADERS: Final = 64


@dataclass(frozen=True, slots=True)
class SagaContext:
    """Joins a saga's spans in one trace, across restarts and days.

    `SagaTracker.begin` creates it. Store `str(context)` with the saga, in the transaction that
    starts it, and read it back with `parse`.

    Attributes:
        saga_id: The saga's id.
        started_ns: When the saga started, unix ns.
        headers: The trace context and baggage in which the saga started, as a propagator writes
            them.
    """

    saga_id: str
    started_ns: int
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def trace_id(self) -> str | None:
        """The id of the trace that holds the saga's spans, as hexadecimal digits.

        `None` without a trace, or when the propagator writes no W3C `traceparent`.
        """
        for name, value in self.headers:
            if name == TRACEPARENT and parse_traceparent(value.encode("latin-1", "replace")):
                return value[3:35]
        return None

    def __str__(self) -> str:
        return json.dumps(
            [_VERSION, self.saga_id, self.started_ns, [list(header) for header in self.headers]],
            separators=(",", ":"),
        )

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a context back. Never raises; returns `None` for any other text."""
        if len(text) > _MAX_TEXT:
            return None
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            return None
        match fields:
            case [int(version), str(saga_id), int(started_ns), list(headers)]:
                pairs = tuple(tuple(header) for header in headers if _is_pair(header))
                readable = version == _VERSION and len(headers) <= _MAX_HEADERS
                if readable and 0 <= started_ns < _MAX_NS:
                    return cls(saga_id, started_ns, pairs)
        return None


def _is_pair(header: object) -> bool:
    match header:
        case [str(), str()]:
            return True
    return False
