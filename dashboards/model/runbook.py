"""The runbook: what to do about each alert, as text, and as a dashboard beside the others."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dashboards.config import Config

_FILE: Final = Path(__file__).parents[1] / "runbook.md"
BOARD: Final = "runbook"


@cache
def sections() -> dict[str, str]:
    """What to do about each alert, as Markdown by the alert's name, in the runbook's order."""
    _, *found = re.split(r"^## ", _FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        name.strip(): text.strip() for name, _, text in (each.partition("\n") for each in found)
    }


def link_to(alert: str, config: Config) -> str:
    """Where somebody who is woken by an alert can read what to do.

    That is the runbook that the configuration names, or else the one among the dashboards.
    """
    if config.runbook_url:
        return f"{config.runbook_url}#{alert.lower()}"
    number = list(sections()).index(alert) + 1
    return f"{config.grafana_url}/d/{config.prefix}-{BOARD}?viewPanel={number}"
