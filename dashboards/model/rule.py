"""Recording rules and alerts as data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["critical", "warning"]
"""`critical` wakes a person up; `warning` waits for working hours."""

IN_PIPELINE: Final = "{{ with $labels.pipeline }} (pipeline {{ . }}){{ end }}"
"""The pipeline of an alert, for its summary: several pipelines may have the same alert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A query whose result Prometheus stores as a series.

    Attributes:
        record: The name of the series.
        expr: The PromQL query.
        slow: Whether its window is so long that it can be evaluated less often.
    """

    record: str
    expr: str
    slow: bool = False


def found_by(query: str, labels: tuple[str, ...], text: str) -> str:
    """Return a sentence about the first result of a query, for `Alert.found`; else nothing.

    Args:
        query: PromQL; `%[1]q` stands for the value of the first of the alert's labels, quoted.
        labels: Those labels.
        text: The sentence; `.Labels` and `.Value` are those of the result.
    """
    form = re.sub(r"%%(\[\d\]q)", r"%\1", query.replace("%", "%%"))
    # JSON quotes like Go does.
    values = " ".join(f"$labels.{label}" for label in labels)
    asked = f"printf {json.dumps(form)} {values} | query"
    return f"{{{{ with {asked} }}}}{{{{ with first . }}}} {text}{{{{ end }}}}{{{{ end }}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A second query of a rule in Grafana, whose result its templates can name.

    Grafana joins the results of two queries if the labels of one include those of the other.

    Attributes:
        query: PromQL. Each result has all labels of an alert, and more; of each alert at most one.
        label: One of the labels that it adds.
        text: A sentence; `.Labels` and `.Value` are those of the result.
    """

    query: str
    label: str
    text: str

    def sentence(self, name: str) -> str:
        """Return the template of the sentence, which is empty without a result.

        Args:
            name: Grafana's name of the query.
        """
        asked = f"with index $values {json.dumps(name)}"
        return (
            f"{{{{ {asked} }}}}{{{{ if .Labels.{self.label} }}}} {self.text}"
            "{{ end }}{{ end }}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition that needs attention.

    Attributes:
        name: The name, which is also the heading of its runbook section.
        expr: The PromQL query; the alert fires for each series that it returns.
        wait: How long the condition must hold before the alert fires.
        severity: How urgent it is.
        summary: One line, with labels as `{{ $labels.name }}`.
        description: What it means and what to do first, with the same label syntax.
        board: The name of the dashboard to open.
        panel: The title of the panel to look at.
        labels: The labels that distinguish its series.
        over: How far the link of the alert looks back: as far as what made it fire.
        found: A sentence that Prometheus adds to the description, with a query of its own, such as
            for the step that is to blame. Labels would make another alert of it whenever that
            changes.
        beside: What Grafana adds instead, whose templates cannot query.
        keep: How long Prometheus lets it go on when its condition has ended: an alert that silences
            others outlasts them.
    """

    name: str
    expr: str
    wait: str
    severity: Severity
    summary: str
    description: str
    board: str
    panel: str
    labels: tuple[str, ...] = ()
    over: str = "1h"
    found: str = ""
    beside: Beside | None = None
    keep: str = ""
