"""The comparison of a scenario's outcome with the flat path and without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tracing.messaging.flat.oracle_run import outcome
from tracing.core.environment import FLAT_VARIABLE

if TYPE_CHECKING:
    from tests.tracing.messaging.flat.oracle_scenario import Scenario


def differences(scenario: Scenario) -> list[str]:
    """Run a scenario both ways; return what comes out one way alone, or in another place."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv(FLAT_VARIABLE, raising=False)
        flat = outcome(scenario)
        environment.setenv(FLAT_VARIABLE, "off")
        return difference(flat, outcome(scenario))


def difference(flat: list[str], general: list[str]) -> list[str]:
    """Return the lines that come out one way alone, and the first one in another place."""
    moved = next((f"{a} | {b}" for a, b in zip(flat, general, strict=False) if a != b), None)
    either = set(flat), set(general)
    return [
        *(f"flat: {line}" for line in flat if line not in either[1]),
        *(f"general: {line}" for line in general if line not in either[0]),
        *([] if moved is None else [f"first: {moved}"]),
    ]
