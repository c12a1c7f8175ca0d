"""When alerts became pending, fired and were resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Labels that say which rule it is and not what it is about.
_COMMON = frozenset({"alertname", "severity", "ruleset"})


@dataclass(slots=True)
class Alert:
    """One alert, from pending to resolved; times are seconds since the run began.

    Attributes:
        name: The rule.
        about: Its labels.
        text: Its summary.
        pending_s: When its condition first held.
        fired_s: When it fired; `None` if it has not.
        resolved_s: When it was gone; `None` while it is there.
    """

    name: str
    about: str
    text: str
    pending_s: float
    fired_s: float | None = None
    resolved_s: float | None = None

    def line(self, since_s: float) -> str:
        """Describe it in one line, with times since a moment of the run."""
        fired_s = (self.fired_s or 0.0) - since_s
        resolved = "still there"
        if self.resolved_s is not None:
            resolved = f"resolved at {self.resolved_s - since_s:.0f} s"
        return f"  {self.name:<30} fired at {fired_s:4.0f} s, {resolved}: {self.text}"


@dataclass(slots=True)
class AlertLog:
    """All alerts of a run.

    Attributes:
        alerts: Those that have been seen, in the order in which they became pending.
    """

    alerts: list[Alert] = field(default_factory=list)
    _open: dict[tuple[str, str], Alert] = field(default_factory=dict)

    def take(self, now_s: float, seen: Iterable[Mapping[str, Any]]) -> None:
        """Take what Prometheus lists at this moment."""
        listed = set()
        for each in seen:
            key = each["labels"]["alertname"], _about(each["labels"])
            listed.add(key)
            alert = self._open.get(key)
            if alert is None:
                text = each["annotations"].get("summary", "")
                alert = self._open[key] = Alert(*key, text, now_s)
                self.alerts.append(alert)
            if each["state"] == "firing" and alert.fired_s is None:
                alert.fired_s = now_s
        for key in self._open.keys() - listed:
            self._open.pop(key).resolved_s = now_s

    def fired(self, start_s: float = 0.0, end_s: float = float("inf")) -> list[Alert]:
        """Return the alerts that fired in a span of time."""
        return [
            alert
            for alert in self.alerts
            if alert.fired_s is not None and start_s <= alert.fired_s < end_s
        ]


def _about(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={labels[name]}" for name in sorted(labels.keys() - _COMMON))
