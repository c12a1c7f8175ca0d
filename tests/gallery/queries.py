"""What Grafana asks Prometheus when it shows a dashboard, and the answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

# A column of Grafana's grid in a window of this width.
_WINDOW_PX: Final = 1600
_COLUMNS: Final = 24
_NICE_S: Final = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MARK_STEP_S: Final = 60


@dataclass(frozen=True, slots=True)
class TimeRange:
    """What the dashboards show, in seconds since 1970."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Its length, in seconds."""
        return self.end_s - self.start_s


class Asking:
    """Asks for everything that a dashboard shows, with `All` chosen in every variable.

    Args:
        client: Sends requests to Prometheus.
        shown: The time range.
    """

    def __init__(self, client: httpx.Client, shown: TimeRange) -> None:
        self._client = client
        self._shown = shown

    def board(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a dashboard with the answers of its panels and annotations, for the page."""
        values = dict(self._variables(document))
        return {
            "dashboard": document,
            "variables": values,
            "answers": {
                str(panel["id"]): [
                    self._answer(target, panel, values) for target in panel["targets"]
                ]
                for panel in document["panels"]
                if panel.get("datasource", {}).get("type") == "prometheus"
            },
            "marks": [
                {
                    "name": mark["name"],
                    "color": mark["iconColor"],
                    "result": self._range(_filled(mark["expr"], values, {}), _MARK_STEP_S),
                }
                for mark in document["annotations"].get("list", ())
                if "expr" in mark
            ],
        }

    def _variables(self, document: dict[str, Any]) -> Iterator[tuple[str, str]]:
        known: dict[str, str] = {}
        for variable in document["templating"].get("list", ()):
            name = variable["name"]
            if variable["type"] == "query" and variable.get("includeAll"):
                known[name] = variable.get("allValue", ".*")
            elif variable["type"] == "query":
                # Grafana takes the first value.
                known[name] = min(self._values(_filled(variable["query"], known, {})), default="")
            else:
                known[name] = variable.get("current", {}).get("value", "")
            yield name, known[name]

    def _values(self, query: str) -> list[str]:
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()  # type: ignore[union-attr]  # all query variables have this form
        values: list[str] = self._get(f"label/{label}/values", **{"match[]": selector})
        return values

    def _answer(
        self, target: dict[str, Any], panel: dict[str, Any], values: Mapping[str, str]
    ) -> dict[str, Any]:
        least_s = _seconds(target.get("interval", "15s"))
        points = panel["gridPos"]["w"] * _WINDOW_PX / _COLUMNS
        nice_s = next(each for each in _NICE_S if each >= self._shown.length_s / points)
        step_s = max(nice_s, least_s)
        # As Grafana's data source defines it.
        rate_s = max(step_s + least_s, 4 * least_s)
        own = {
            "__interval": f"{step_s}s",
            "__rate_interval": f"{rate_s}s",
            "__range": f"{round(self._shown.length_s)}s",
        }
        expr = _filled(target["expr"], values, own)
        instant = bool(target.get("instant"))
        return {
            "refId": target["refId"],
            "legend": target.get("legendFormat", "__auto"),
            "format": target.get("format", "time_series"),
            "stepMs": step_s * 1000,
            "result": self._instant(expr) if instant else self._range(expr, step_s),
        }

    def _instant(self, expr: str) -> Any:
        return self._get("query", query=expr, time=str(self._shown.end_s))["result"]

    def _range(self, expr: str, step_s: int) -> Any:
        # Grafana aligns both ends, so that points stay where they are when it refreshes.
        start = self._shown.start_s // step_s * step_s
        end = self._shown.end_s // step_s * step_s
        return self._get(
            "query_range", query=expr, start=str(start), end=str(end), step=str(step_s)
        )["result"]

    def _get(self, what: str, **parameters: str) -> Any:
        answer = self._client.get(f"/api/v1/{what}", params=parameters).json()
        if answer["status"] != "success":
            raise ValueError(f"{parameters} failed: {answer['error']}")
        return answer["data"]


def _filled(text: str, values: Mapping[str, str], own: Mapping[str, str]) -> str:
    every = {**values, **own}
    return re.sub(r"\$\{?(\w+)\}?", lambda found: every.get(found[1], found[0]), text)


def _seconds(interval: str) -> int:
    return int(interval[:-1]) * _UNITS[interval[-1]]
