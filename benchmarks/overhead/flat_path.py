"""Which messages took the flat path of this library, and why others did not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracing.telemetry import Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatPath:
    """Numbers of messages.

    Attributes:
        taken: By what was done: sent, handled, handled in a batch.
        fallbacks: Messages that the general code handled, by reason.
    """

    taken: dict[str, int] = field(default_factory=dict)
    fallbacks: dict[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of messages that took it; 0 without any."""
        taken, fallbacks = sum(self.taken.values()), sum(self.fallbacks.values())
        return taken / (taken + fallbacks) if taken + fallbacks else 0.0


def flat_path(telemetry: Telemetry) -> FlatPath | None:
    """Return what the telemetry's engine has counted; `None` where the flat path is off."""
    from tracing.messaging.flat.engine import engine_of  # noqa: PLC0415 - only one variant loads it

    engine = engine_of(telemetry)
    if engine is None:
        return None
    return FlatPath(
        taken={str(what): count for what, count in engine.taken.items()},
        fallbacks={str(why): count for why, count in engine.fallbacks.items()},
    )
