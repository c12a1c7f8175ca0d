"""The stories that a run can tell."""

from typing import Final

STEADY: Final = "steady"
"""Every order goes through: the shop on a good day."""

SCENARIOS: Final = (STEADY,)
